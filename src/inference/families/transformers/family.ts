import { Problem } from '../../../common/errors.js';
import type { Frame } from '../../../media/frame.js';
import type { Model } from '../../../models/catalog.js';
import type { HubManifest } from '../../../models/manifest.js';
import type { Part, Role } from '../../encoder.js';
import type { SessionSettings } from '../../worker/worker-handle.js';
import type { Family, Prepared } from '../family.js';

/** One part of an input as it goes to the thread of a model from a hub, whose own processor takes it from there. */
export type HubPart = { text: string } | { modality: 'image' | 'video'; frames: readonly Frame[] };

export interface HubInput {
  role: Role;
  parts: HubPart[];
}

/** What a thread of such a model is started with. */
export interface HubSetup<Manifest extends HubManifest = HubManifest> extends SessionSettings {
  manifest: Manifest;
  /** Folder of the files. */
  dir: string;
}

/** Text is tokenised in the thread; the queue is content with what its length suggests. */
const BYTES_PER_TOKEN = 3;

/** A model whose files come from a hub, run by `@huggingface/transformers` in `worker`. */
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
    // Nothing moves: a batch whose thread died is run again.
    collate: (inputs) => ({ message: inputs, transfer: [] }),
  };
}

function prepare(parts: readonly Part[], role: Role, manifest: HubManifest): Prepared<HubInput> {
  const texts = parts.flatMap((part) => ('text' in part ? [part.text] : []));
  const patchCount = parts.reduce((sum, part) => sum + mediaTokens(part, manifest), 0);
  if (patchCount === 0 && texts.every((text) => text.trim() === ''))
    throw new Problem('invalid_request', 'The text is empty: it has no token to embed.');
  const bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
  return {
    // Without the uploads, which stay on this side.
    input: {
      role,
      parts: parts.map((part) => ('text' in part ? part : { modality: part.modality, frames: part.frames })),
    },
    textLength: Math.min(manifest.text.max_tokens, Math.ceil(bytes / BYTES_PER_TOKEN)),
    patchCount,
    truncated: false,
  };
}

/** Tokens that a part becomes at most, if it is not text. */
export function mediaTokens(part: HubPart | Part, { image, video }: HubManifest): number {
  if ('text' in part) return 0;
  return part.frames.length * (part.modality === 'image' ? image.max_tokens : video.max_tokens);
}
