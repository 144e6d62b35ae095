import { readFile } from 'node:fs/promises';
import { Type } from 'typebox';
import { MODEL_HEADER } from '../../common/headers.js';
import { toPng } from '../../media/encode.js';
import type { EncodedInput, MediaPart, Part, Role } from '../encoder.js';
import { TargetError } from '../failover/target.js';
import type { RemoteCall, RemoteClient } from './client.js';
import { bodyOf, type Protocol, toVector } from './protocol.js';

export interface OnespaceOptions {
  /** Name and revision of the model. */
  id: string;
  dim: number;
  /** Whether the upstream samples videos as this service does. */
  takesVideo: boolean;
}

const Embedded = Type.Object({
  embedding: Type.Array(Type.Number()),
  tokens: Type.Integer(),
  truncated: Type.Boolean(),
});

/** Another onespace: parts as a form to `POST /embed`; every reply names the model it is from. */
export class OnespaceProtocol implements Protocol {
  readonly repliesNameModel = true;

  constructor(
    private readonly client: RemoteClient,
    private readonly options: OnespaceOptions,
  ) {}

  refusal(parts: readonly Part[]): string | undefined {
    const hasVideo = parts.some((part) => 'modality' in part && part.modality === 'video');
    if (hasVideo && !this.options.takesVideo) return 'the upstream samples videos at another VIDEO_FPS';
    return undefined;
  }

  async embed(parts: readonly Part[], role: Role, call: RemoteCall): Promise<EncodedInput> {
    const { id, dim } = this.options;
    const form = new FormData();
    form.set('model', id);
    form.set('role', role);
    for (const part of parts) {
      if ('text' in part) form.append('text', part.text);
      else form.append('file', await fileOf(part));
    }
    const reply = await this.client.post('/embed', form, call);
    const { embedding, tokens, truncated } = bodyOf(Embedded, reply);
    const from = reply.headers.get(MODEL_HEADER);
    if (from !== id) throw new TargetError('the upstream runs another model', `${from} and not ${id}`);
    return { vector: toVector(embedding, dim), tokens, truncated };
  }
}

/** An image as the decoded frame; a video as the uploaded file, since PNG files would not carry the timestamps. */
async function fileOf({ modality, frames: [frame], upload }: MediaPart): Promise<Blob> {
  if (modality === 'image' && frame !== undefined) return new Blob([new Uint8Array(await toPng(frame))]);
  return new Blob([new Uint8Array('bytes' in upload ? upload.bytes : await readFile(upload.path))]);
}
