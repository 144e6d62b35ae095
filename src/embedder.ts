import { createHash } from 'node:crypto';
import type { Config } from './config.js';
import { Cache } from './encoder/cache.js';
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
import type { Metrics, RecordStage } from './metrics.js';
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

export interface EmbedOptions {
  signal?: AbortSignal;
  record: RecordStage;
}

export interface MediaOptions extends EmbedOptions {
  /** The modality the caller insists on; without it the content decides. */
  as?: 'image' | 'video';
}

// Key, map entry and object around the vector, roughly.
const ENTRY_OVERHEAD_BYTES = 400;

/** Bytes or text -> unit vector: decode, serialise, encode, remembering what was embedded before. */
export class Embedder {
  private readonly cache: Cache<Embedding>;
  private readonly sampling: FrameSampling;
  private readonly limits: MediaLimits;

  constructor(
    private readonly manifest: ModelManifest,
    private readonly serializer: Serializer,
    private readonly pool: EncoderPool,
    private readonly ffmpeg: Ffmpeg,
    config: Config,
    metrics: Metrics,
  ) {
    const sizeOf = ({ vector }: Embedding) => vector.byteLength + ENTRY_OVERHEAD_BYTES;
    this.cache = new Cache(config.CACHE_MB * 1e6, sizeOf, metrics);
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
    const key = createHash('sha256').update(text).digest('base64');
    return this.cache.get(key, (flight) => this.encode([{ text }], 'text', record, flight), signal);
  }

  /** Takes the upload over: it is disposed of when its content is no longer needed, whatever happens. */
  async embedMedia(upload: Upload, { as, signal, record }: MediaOptions): Promise<Embedding> {
    const key = `${upload.sha256}/${as ?? ''}`;
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
