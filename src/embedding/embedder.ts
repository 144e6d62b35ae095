import { createHash } from 'node:crypto';
import { richestModality } from '../common/modality.js';
import type { Config } from '../config.js';
import type { Encoder, MediaPart, Part, Role } from '../inference/encoder.js';
import type { InputPart } from '../inputs/part.js';
import { Turns } from '../lib/async/event-loop.js';
import { decodeMedia } from '../media/decode.js';
import type { FrameSampling, FrameShape } from '../media/frame.js';
import { type MediaLimits, mediaLimits, storedMediaLimits } from '../media/limits.js';
import type { Ffmpeg } from '../media/video/ffmpeg.js';
import { distinguishesRoles, type ModelManifest, modelId } from '../models/manifest.js';
import type { RecordStage } from '../observability/stage.js';
import type { CallContext } from './call-context.js';
import type { Embedding } from './embedding.js';
import type { EmbeddingCache } from './embedding-cache.js';

/** A text longer than this may take milliseconds to hash and to tokenize. */
const LONG_TEXT_CHARACTERS = 1000;

/** Parts -> unit vector: decodes files, encodes, and remembers what was embedded before. */
export class Embedder {
  /** `name@revision` of the model. */
  readonly model: string;
  private readonly distinguishesRoles: boolean;
  private readonly image: FrameShape;
  private readonly video: FrameSampling;
  private readonly limits: MediaLimits;
  /** On videos below a media root, and those that were sent to be stored. */
  private readonly storedLimits: MediaLimits;
  /** Long texts are hashed, and tokenized, one in each turn of the event loop: a request may have hundreds. */
  private readonly turns = new Turns();

  constructor(
    private readonly manifest: ModelManifest,
    private readonly encoder: Encoder,
    private readonly ffmpeg: Ffmpeg,
    private readonly cache: EmbeddingCache<Embedding>,
    private readonly config: Config,
  ) {
    const { image, video } = shapesOf(manifest);
    this.model = modelId(manifest);
    this.distinguishesRoles = distinguishesRoles(manifest);
    this.image = image;
    this.video = {
      ...video,
      framesPerSecond: config.VIDEO_FPS,
      minFrames: manifest.video.min_frames,
      maxFrames: manifest.video.max_frames,
    };
    this.limits = mediaLimits(config);
    this.storedLimits = storedMediaLimits(config);
  }

  /**
   * Parts in their order, as one sequence with one vector. Identical inputs that arrive together are computed once.
   * @param role what the vector is for; only some models distinguish queries from documents
   * @throws Problem `invalid_request` when there is no token, `too_large` when there are too many, and what decoding
   *   and encoding throw
   */
  async embed(parts: readonly InputPart[], context: CallContext, role: Role = 'document'): Promise<Embedding> {
    const { signal, forwarded = false } = context;
    if (hasLongText(parts)) await this.turns.next();
    // Two services that are each other's upstream could wait for each other: a forwarded request never waits for a
    // computation that this service may itself have forwarded.
    const flight = forwarded ? 'forwarded' : 'own';
    const compute = (signal: AbortSignal) => this.compute(parts, context, role, signal);
    const hold = () => context.uploads.hold();
    return this.cache.get(this.keyOf(parts, role), compute, { signal, flight, hold });
  }

  /**
   * What a vector depends on: the model, how videos are sampled, the role, and the content. It does not depend on
   * where the model ran: every device and upstream runs the same weights, and proves it before it is used.
   */
  private keyOf(parts: readonly InputPart[], role: Role): string {
    const { name, revision } = this.manifest;
    const content = parts.map((part) => ('text' in part ? [part.text.length] : [part.as ?? '', part.upload.sha256]));
    const purpose = this.distinguishesRoles ? role : '';
    const hash = createHash('sha256');
    hash.update(JSON.stringify([name, revision, this.config.DTYPE, this.video, purpose, content]));
    for (const part of parts) if ('text' in part) hash.update(part.text);
    return hash.digest('base64');
  }

  /** @param signal aborted when every request that waits for this computation was cancelled */
  private async compute(
    parts: readonly InputPart[],
    context: CallContext,
    role: Role,
    signal: AbortSignal,
  ): Promise<Embedding> {
    const decoded: Part[] = [];
    for (const part of parts) decoded.push('text' in part ? part : await this.decode(part, context, signal));
    const modalities = decoded.map((part) => ('text' in part ? 'text' : part.modality));
    const [only] = modalities;
    const modality = only !== undefined && modalities.length === 1 ? only : richestModality(modalities);
    const record: RecordStage = (stage, of, seconds, endedAgo) =>
      context.record(stage, of, seconds, this.model, endedAgo);
    const { forwarded, trace, patienceMs } = context;
    if (hasLongText(parts)) await this.turns.next();
    const options = { modality, role, signal, record, patienceMs, forwarded, trace };
    return { modality, ...(await this.encoder.encode(decoded, options)) };
  }

  private async decode(
    { upload, as }: Exclude<InputPart, { text: string }>,
    context: CallContext,
    signal: AbortSignal,
  ): Promise<MediaPart> {
    const start = performance.now();
    const { image, video, ffmpeg } = this;
    const limits = 'mayBeLong' in upload && upload.mayBeLong ? this.storedLimits : this.limits;
    const media = await decodeMedia(upload, { as, image, video, limits, ffmpeg, signal });
    context.onDecoded?.(media);
    context.record('decode', media.modality, (performance.now() - start) / 1000, this.model);
    return { modality: media.modality, frames: media.frames, upload };
  }
}

const hasLongText = (parts: readonly InputPart[]): boolean =>
  parts.some((part) => 'text' in part && part.text.length > LONG_TEXT_CHARACTERS);

/** The sizes in which the model takes images and frames. */
function shapesOf(manifest: ModelManifest): { image: FrameShape; video: FrameShape } {
  if (!('patch' in manifest))
    return { image: { maxSide: manifest.image.max_side }, video: { maxSide: manifest.video.max_side } };
  const { patch, image, video } = manifest;
  return { image: { side: image.side, patch }, video: { side: video.side, patch } };
}
