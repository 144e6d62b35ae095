import { readFile } from 'node:fs/promises';
import { Type } from 'typebox';
import { toPng } from '../../media/png.js';
import type { EncodedInput, MediaPart, Part, Role } from '../encoder.js';
import { PlaceError } from '../failover/target.js';
import type { ReplicaClient } from './client.js';
import { bodyOf, type Dialect, toVector } from './protocol.js';

export interface OnespaceOptions {
  /** Name and revision of the model. */
  id: string;
  dim: number;
  /** Whether it samples clips as this service does. */
  takesVideo: boolean;
}

/** As routes/model-choice.ts sends it. */
const MODEL_HEADER = 'x-onespace-model';
const Embedded = Type.Object({
  embedding: Type.Array(Type.Number()),
  tokens: Type.Integer(),
  truncated: Type.Boolean(),
});

/** Another onespace, by its own route: parts as a form, and every reply says which model it is from. */
export class OnespaceDialect implements Dialect {
  readonly provesEachReply = true;

  constructor(
    private readonly client: ReplicaClient,
    private readonly options: OnespaceOptions,
  ) {}

  refusal(parts: readonly Part[]): string | undefined {
    const hasVideo = parts.some((part) => 'modality' in part && part.modality === 'video');
    if (hasVideo && !this.options.takesVideo) return 'the replica samples clips at another VIDEO_FPS';
    return undefined;
  }

  async embed(parts: readonly Part[], role: Role, signal: AbortSignal): Promise<EncodedInput> {
    const { id, dim } = this.options;
    const form = new FormData();
    form.set('model', id);
    form.set('role', role);
    for (const part of parts) {
      if ('text' in part) form.append('text', part.text);
      else form.append('file', await fileOf(part));
    }
    const reply = await this.client.post('/embed', form, signal);
    const { embedding, tokens, truncated } = bodyOf(Embedded, reply);
    const from = reply.headers.get(MODEL_HEADER);
    if (from !== id) throw new PlaceError('the replica runs another model', `${from} and not ${id}`);
    return { vector: toVector(embedding, dim), tokens, truncated };
  }
}

/** A picture as decoded; a clip as it was sent, since its frames are nothing without their times. */
async function fileOf({ modality, frames: [frame], upload }: MediaPart): Promise<Blob> {
  if (modality === 'image' && frame !== undefined) return new Blob([new Uint8Array(await toPng(frame))]);
  return new Blob([new Uint8Array('bytes' in upload ? upload.bytes : await readFile(upload.path))]);
}
