import { createHash } from 'node:crypto';
import type { Config } from './config.js';
import type { Embedding } from './embedding.js';
import type { Cache } from './encoder/cache.js';
import type { ModelManifest } from './encoder/model.js';
import type { EncoderPool } from './encoder/pool.js';
import { sequenceLength } from './encoder/sequence.js';
import type { Part, Serializer } from './encoder/serializer.js';
import { Problem } from './errors.js';
import { disposeParts, type InputPart } from './inputs/part.js';
import { maxSequenceTokens } from './limits.js';
import { type DecodedMedia, decodeMedia } from './media/decode.js';
import type { Ffmpeg } from './media/ffmpeg.js';
import type { FrameSampling } from './media/frame.js';
import { type MediaLimits, mediaLimits } from './media/limits.js';
import type { Upload } from './media/spool.js';
import type { RecordStage } from './metrics.js';
import { MODALITIES, type Modality } from './modality.js';

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
  private readonly maxTokens: number;

  constructor(
    private readonly manifest: ModelManifest,
    private readonly serializer: Serializer,
    private readonly pool: EncoderPool,
    private readonly ffmpeg: Ffmpeg,
    private readonly cache: Cache<Embedding>,
    private readonly config: Config,
  ) {
    this.sampling = {
      side: manifest.video.side,
      patch: manifest.patch,
      framesPerSecond: config.VIDEO_FPS,
      minFrames: manifest.video.min_frames,
      maxFrames: manifest.video.max_frames,
    };
    this.limits = mediaLimits(config);
    this.maxTokens = maxSequenceTokens(manifest);
  }

  /** @throws Problem `invalid_request` for text without a single token */
  embedText(text: string, options: EmbedOptions): Promise<Embedding> {
    return this.embed([{ text }], options);
  }

  /** Takes the upload over, as `embed` does. */
  embedMedia(upload: Upload, { as, ...options }: MediaOptions): Promise<Embedding> {
    return this.embed([as === undefined ? { upload } : { upload, as }], options);
  }

  /**
   * Parts in their order, as one sequence with one vector. Takes the uploads over: each is disposed of when
   * its content is no longer needed, whatever happens.
   * @throws Problem `invalid_request` when there is no token, `too_large` when there are too many
   */
  async embed(parts: readonly InputPart[], { signal, record }: EmbedOptions): Promise<Embedding> {
    let computing = false;
    const compute = async (flight: AbortSignal) => {
      computing = true;
      try {
        return await this.decodeAndEncode(parts, record, flight);
      } finally {
        await disposeParts(parts);
      }
    };
    try {
      return await this.cache.get(this.keyOf(parts), compute, signal);
    } finally {
      // A computation may serve others after this caller has gone, so it disposes of the uploads itself.
      if (!computing) await disposeParts(parts);
    }
  }

  /** What a vector depends on: the model, how clips are sampled, and the content. */
  private keyOf(parts: readonly InputPart[]): string {
    const { name, revision } = this.manifest;
    const content = parts.map((part) => ('text' in part ? [part.text] : [part.as ?? '', part.upload.sha256]));
    return createHash('sha256')
      .update(JSON.stringify([name, revision, this.config.DTYPE, this.sampling, content]))
      .digest('base64');
  }

  private async decodeAndEncode(
    parts: readonly InputPart[],
    record: RecordStage,
    signal: AbortSignal,
  ): Promise<Embedding> {
    const decoded: Part[] = [];
    const modalities = new Set<Modality>();
    for (const part of parts) {
      const { modality, ...content } =
        'text' in part ? ({ modality: 'text', ...part } as const) : await this.decode(part, record, signal);
      modalities.add(modality);
      decoded.push(content);
    }
    return this.encode(decoded, richest(modalities), record, signal);
  }

  private async decode(
    { upload, as }: Extract<InputPart, { upload: Upload }>,
    record: RecordStage,
    signal: AbortSignal,
  ): Promise<DecodedMedia> {
    const start = performance.now();
    const image = { side: this.manifest.image.side, patch: this.manifest.patch };
    const { sampling: video, limits, ffmpeg } = this;
    const media = await decodeMedia(upload, { as, image, video, limits, ffmpeg, signal });
    record('decode', media.modality, (performance.now() - start) / 1000);
    return media;
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
    this.checkLength(tokens);
    const { vector, queueSeconds, inferenceSeconds } = await this.pool.encode(sequence, signal);
    record('queue', modality, queueSeconds);
    record('inference', modality, inferenceSeconds);
    return { vector, modality, tokens, truncated };
  }

  private checkLength(tokens: number): void {
    if (tokens === 0) throw new Problem('invalid_request', 'The text is empty: it has no token to embed.');
    if (tokens <= this.maxTokens) return;
    const detail = `The input is a sequence of ${tokens} tokens; at most ${this.maxTokens} fit. Send fewer parts.`;
    throw new Problem('too_large', detail, { tokens, limit_tokens: this.maxTokens });
  }
}

/** Mixed input counts as what needs the most senses: words beside a picture are a picture, beside a clip a clip. */
function richest(modalities: ReadonlySet<Modality>): Modality {
  return MODALITIES.findLast((modality) => modalities.has(modality)) ?? 'text';
}
