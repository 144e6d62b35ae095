import { createHash } from 'node:crypto';
import { MODALITIES, type Modality } from '../common/modality.js';
import type { Config } from '../config.js';
import type { Encoder, MediaPart, Part, Role } from '../inference/encoder.js';
import { disposeParts, type InputPart } from '../inputs/part.js';
import { decodeMedia } from '../media/decode.js';
import type { FrameSampling, FrameShape } from '../media/frame.js';
import { type MediaLimits, mediaLimits } from '../media/limits.js';
import type { Upload } from '../media/upload.js';
import type { Ffmpeg } from '../media/video/ffmpeg.js';
import { distinguishesRoles, type ModelManifest } from '../models/manifest.js';
import type { RecordStage } from '../observability/stage.js';
import type { Embedding } from './embedding.js';
import type { Cache } from './embedding-cache.js';

export interface EmbedOptions {
  signal?: AbortSignal;
  record: RecordStage;
  /** What the input is for; what is not a query is a document. */
  role?: Role | undefined;
  /** Whether another service sent it on to this one, whose model does not run. */
  forwarded?: boolean | undefined;
}

export interface MediaOptions extends EmbedOptions {
  /** The modality the caller insists on; without it the content decides. */
  as?: 'image' | 'video';
}

/** One computation of a vector, for all who wait for it. */
interface Task {
  role: Role;
  forwarded: boolean;
  record: RecordStage;
  signal: AbortSignal;
}

/** Bytes or text -> unit vector: decode, encode, remembering what was embedded before. */
export class Embedder {
  private readonly image: FrameShape;
  private readonly video: FrameSampling;
  private readonly limits: MediaLimits;

  constructor(
    private readonly manifest: ModelManifest,
    private readonly encoder: Encoder,
    private readonly ffmpeg: Ffmpeg,
    private readonly cache: Cache<Embedding>,
    private readonly config: Config,
  ) {
    const { image, video } = shapesOf(manifest);
    this.image = image;
    this.video = {
      ...video,
      framesPerSecond: config.VIDEO_FPS,
      minFrames: manifest.video.min_frames,
      maxFrames: manifest.video.max_frames,
    };
    this.limits = mediaLimits(config);
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
  async embed(parts: readonly InputPart[], options: EmbedOptions): Promise<Embedding> {
    const { signal, record, role = 'document', forwarded = false } = options;
    let computing = false;
    const compute = async (flight: AbortSignal) => {
      computing = true;
      try {
        return await this.decodeAndEncode(parts, { role, record, forwarded, signal: flight });
      } finally {
        await disposeParts(parts);
      }
    };
    try {
      // Two services that are each other's replica could wait for each other: what was sent on waits for nothing
      // that may have been sent on itself.
      const flight = forwarded ? 'forwarded' : 'own';
      return await this.cache.get(this.keyOf(parts, role), compute, { signal, flight });
    } finally {
      // A computation may serve others after this caller has gone, so it disposes of the uploads itself.
      if (!computing) await disposeParts(parts);
    }
  }

  /**
   * What a vector depends on: the model, how clips are sampled, what it is for, and the content. Not where the model
   * ran: every device and every replica runs the same weights, which a replica has to prove before it is used.
   */
  private keyOf(parts: readonly InputPart[], role: Role): string {
    const { name, revision } = this.manifest;
    const content = parts.map((part) => ('text' in part ? [part.text] : [part.as ?? '', part.upload.sha256]));
    const purpose = distinguishesRoles(this.manifest) ? role : '';
    return createHash('sha256')
      .update(JSON.stringify([name, revision, this.config.DTYPE, this.video, purpose, content]))
      .digest('base64');
  }

  private async decodeAndEncode(parts: readonly InputPart[], task: Task): Promise<Embedding> {
    const { record, signal } = task;
    const decoded: Part[] = [];
    for (const part of parts) decoded.push('text' in part ? part : await this.decode(part, record, signal));
    const modality = richest(decoded);
    return { modality, ...(await this.encoder.encode(decoded, { modality, ...task })) };
  }

  private async decode(
    { upload, as }: Extract<InputPart, { upload: Upload }>,
    record: RecordStage,
    signal: AbortSignal,
  ): Promise<MediaPart> {
    const start = performance.now();
    const { image, video, limits, ffmpeg } = this;
    const media = await decodeMedia(upload, { as, image, video, limits, ffmpeg, signal });
    record('decode', media.modality, (performance.now() - start) / 1000);
    return { ...media, upload };
  }
}

/** In which size the model wants pictures and frames. */
function shapesOf(manifest: ModelManifest): { image: FrameShape; video: FrameShape } {
  if (manifest.family !== 'unified')
    return { image: { maxSide: manifest.image.max_side }, video: { maxSide: manifest.video.max_side } };
  const { patch, image, video } = manifest;
  return { image: { side: image.side, patch }, video: { side: video.side, patch } };
}

/** Mixed input counts as what needs the most senses: words beside a picture are a picture, beside a clip a clip. */
function richest(parts: readonly Part[]): Modality {
  const modalities = parts.map((part) => ('text' in part ? 'text' : part.modality));
  return MODALITIES.findLast((modality) => modalities.includes(modality)) ?? 'text';
}
