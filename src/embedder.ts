import { createHash } from 'node:crypto';
import type { Config } from './config.js';
import type { Cache } from './encoder/cache.js';
import type { ModelManifest } from './encoder/model.js';
import type { EncoderPool } from './encoder/pool.js';
import { sequenceLength } from './encoder/sequence.js';
import type { Part, Serializer } from './encoder/serializer.js';
import { Problem } from './errors.js';
import { decodeMedia } from './media/decode.js';
import type { Ffmpeg } from './media/ffmpeg.js';
import type { FrameSampling } from './media/frame.js';
import { type MediaLimits, mediaLimits } from './media/limits.js';
import type { Upload } from './media/spool.js';
import type { RecordStage } from './metrics.js';
import type { Modality } from './modality.js';

export interface Embedding {
  /** Unit vector `[dim]`. */
  vector: Float32Array;
  modality: Modality;
  /** Length of the sequence the model saw: text tokens and patches. */
  tokens: number;
  /** Whether text was cut at the model's limit. */
  truncated: boolean;
}

// Key, map entry and object around the vector, roughly.
const ENTRY_OVERHEAD_BYTES = 400;

/** Bytes of memory that remembering an embedding takes. */
export const sizeOfEmbedding = ({ vector }: Embedding): number => vector.byteLength + ENTRY_OVERHEAD_BYTES;

export interface EmbedOptions {
  signal?: AbortSignal;
  record: RecordStage;
}

export interface MediaOptions extends EmbedOptions {
  /** The modality the caller insists on; without it the content decides. */
  as?: 'image' | 'video';
}

/** Bytes or text -> unit vector: decode, serialise, encode, remembering what was embedded before. */
export class Embedder {
  private readonly sampling: FrameSampling;
  private readonly limits: MediaLimits;

  constructor(
    private readonly manifest: ModelManifest,
    private readonly serializer: Serializer,
    private readonly pool: EncoderPool,
    private readonly ffmpeg: Ffmpeg,
    private readonly cache: Cache<Embedding>,
    config: Config,
  ) {
    this.sampling = {
      side: manifest.video.side,
      patch: manifest.patch,
      framesPerSecond: config.VIDEO_FPS,
      minFrames: manifest.video.min_frames,
      maxFrames: manifest.video.max_frames,
    };
    this.limits = mediaLimits(config);
  }

  /** @throws Problem `invalid_request` for text without a single token */
  embedText(text: string, { signal, record }: EmbedOptions): Promise<Embedding> {
    return this.cache.get(
      this.keyOf('text', text),
      (flight) => this.encode([{ text }], 'text', record, flight),
      signal,
    );
  }

  /** Takes the upload over: it is disposed of when its content is no longer needed, whatever happens. */
  async embedMedia(upload: Upload, { as, signal, record }: MediaOptions): Promise<Embedding> {
    const key = this.keyOf(`media/${as ?? ''}`, upload.sha256);
    const compute = async (flight: AbortSignal) => {
      try {
        return await this.decodeAndEncode(upload, as, record, flight);
      } finally {
        await upload.dispose();
      }
    };
    if (this.cache.has(key)) await upload.dispose();
    return this.cache.get(key, compute, signal);
  }

  /** What a vector depends on: the model, how clips are sampled, and the content. */
  private keyOf(kind: string, content: string): string {
    const { name, revision } = this.manifest;
    const context = `${name}\0${revision}\0${JSON.stringify(this.sampling)}\0${kind}\0`;
    return createHash('sha256').update(context).update(content).digest('base64');
  }

  private async decodeAndEncode(
    upload: Upload,
    as: 'image' | 'video' | undefined,
    record: RecordStage,
    signal: AbortSignal,
  ): Promise<Embedding> {
    const start = performance.now();
    const image = { side: this.manifest.image.side, patch: this.manifest.patch };
    const { sampling: video, limits, ffmpeg } = this;
    const { modality, frames } = await decodeMedia(upload, { as, image, video, limits, ffmpeg, signal });
    record('decode', modality, (performance.now() - start) / 1000);
    return this.encode([{ frames }], modality, record, signal);
  }

  private async encode(
    parts: readonly Part[],
    modality: Modality,
    record: RecordStage,
    signal: AbortSignal,
  ): Promise<Embedding> {
    const start = performance.now();
    const { sequence, truncated } = this.serializer.serialize(parts);
    record('serialise', modality, (performance.now() - start) / 1000);
    const tokens = sequenceLength(sequence);
    if (tokens === 0) throw new Problem('invalid_request', 'The text is empty: it has no token to embed.');
    const { vector, queueSeconds, inferenceSeconds } = await this.pool.encode(sequence, signal);
    record('queue', modality, queueSeconds);
    record('inference', modality, inferenceSeconds);
    return { vector, modality, tokens, truncated };
  }
}
