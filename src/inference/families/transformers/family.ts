import { Problem } from '../../../common/errors.js';
import type { Frame } from '../../../media/frame.js';
import type { Model } from '../../../models/catalog.js';
import type { HubManifest } from '../../../models/manifest.js';
import type { Part, Role } from '../../encoder.js';
import type { SessionSettings } from '../../worker/protocol.js';
import type { Family, Prepared } from '../family.js';

/** One part of an input as it is posted to a worker, where the model's own processor prepares it. */
export type HubPart = { text: string } | { modality: 'image' | 'video'; frames: readonly Frame[] };

export interface HubInput {
  role: Role;
  parts: HubPart[];
}

/** `workerData` of a thread of such a family. */
export interface HubSetup<Manifest extends HubManifest = HubManifest> extends SessionSettings {
  manifest: Manifest;
  /** Folder of the model's files. */
  dir: string;
}

/** The worker tokenises; the queue batches by this estimate of a text's length. */
const BYTES_PER_TOKEN = 3;

/** A model whose files come from a hub and which `@huggingface/transformers` runs in the module `worker`. */
export function openHub<Manifest extends HubManifest>(
  { manifest, dir }: Model<Manifest>,
  { dtype, devices, threads }: SessionSettings,
  worker: URL,
): Family<HubInput> {
  const setup: HubSetup<Manifest> = { manifest, dir, dtype, devices, threads };
  return {
    worker,
    setup,
    prepare: (parts, role) => prepare(parts, role, manifest),
    // No buffer moves: the batch of a worker that exited is run again from the same frames.
    collate: (inputs) => ({ batch: inputs, transfer: [] }),
  };
}

function prepare(parts: readonly Part[], role: Role, manifest: HubManifest): Prepared<HubInput> {
  const texts = parts.flatMap((part) => ('text' in part ? [part.text] : []));
  const patchCount = parts.reduce((sum, part) => sum + mediaTokens(part, manifest), 0);
  if (patchCount === 0 && texts.every((text) => text.trim() === ''))
    throw new Problem('invalid_request', 'The text is empty: it has no token to embed.');
  const bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
  return {
    // Without the uploads, which cannot be posted.
    input: {
      role,
      parts: parts.map((part) => ('text' in part ? part : { modality: part.modality, frames: part.frames })),
    },
    textLength: Math.min(manifest.text.max_tokens, Math.ceil(bytes / BYTES_PER_TOKEN)),
    patchCount,
    truncated: false,
  };
}

/** Upper bound of the tokens that an image or a video becomes; 0 for text. */
export function mediaTokens(part: HubPart | Part, { image, video }: HubManifest): number {
  if ('text' in part) return 0;
  return part.frames.length * (part.modality === 'image' ? image.max_tokens : video.max_tokens);
}
