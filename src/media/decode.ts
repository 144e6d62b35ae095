import { clientClosed, Problem } from '../common/errors.js';
import type { Frame, FrameSampling, FrameShape, Size } from './frame.js';
import { decodeAnimation } from './image/animation.js';
import { decodeImage, type ImageInfo, inspectImage } from './image/image.js';
import { rawPreview } from './image/raw/raw-preview.js';
import { imageSemaphore, THREAD_WEIGHT } from './image/sharp.js';
import type { MediaLimits } from './limits.js';
import type { ImageUpload, Upload } from './upload.js';
import type { Ffmpeg } from './video/ffmpeg.js';
import { decodeVideo } from './video/video.js';

/** The frames of one upload, in order of time: one of an image, at least one of a video. */
export interface DecodedMedia {
  modality: 'image' | 'video';
  /** All of one size. */
  frames: Frame[];
  header: MediaHeader;
}

/** What the header of a file says: pixels of an image, upright; the tags and streams of a video, as ffmpeg lists them. */
export type MediaHeader = Size | { log: string };

export interface DecodeOptions {
  /** The expected modality; without it the content decides. An animated GIF or WebP may be either. */
  as?: 'image' | 'video' | undefined;
  /** Size of the frame of an image. */
  image: FrameShape;
  /** Size and number of the frames of a video. */
  video: FrameSampling;
  limits: MediaLimits;
  ffmpeg: Ffmpeg;
  /** Aborted when the client disconnects: ffmpeg is stopped, a waiting image is not decoded. */
  signal?: AbortSignal | undefined;
}

/**
 * Decodes a received file to the frames that a model takes. The caller disposes of the upload.
 *
 * @throws Problem `wrong_modality`, `unsupported_media`, `broken_media`, `too_large` (TIFF of too many pages),
 *   `too_many_pixels`, `video_too_long`, `decode_timeout`, `client_closed`
 */
export async function decodeMedia(upload: Upload, options: DecodeOptions): Promise<DecodedMedia> {
  const { as, video, limits, ffmpeg, signal } = options;
  if (signal?.aborted) throw clientClosed();
  if (upload.modality === 'image') return decodeImageFile(upload, options);
  if (as === 'image') throw wrongModality(`a video (${upload.format})`, 'an image', 'video');
  const { frames, log } = await decodeVideo(upload, { sampling: video, limits, ffmpeg, signal });
  return { modality: 'video', frames, header: { log } };
}

/** A still or an animation: the first bytes of a GIF or WebP do not tell which. */
async function decodeImageFile(upload: ImageUpload, options: DecodeOptions): Promise<DecodedMedia> {
  const { as, image, video, limits, signal } = options;
  const source = upload.format === 'raw' ? rawPreview(upload.bytes) : upload;
  const info = await inspectImage(source, limits);
  const isAnimated = info.delaysMs.length > 1;
  if (as === 'video' && !isAnimated) throw wrongModality(`a still image (${upload.format})`, 'a video', 'image');
  const header = { width: info.width, height: info.height };
  const work = async (): Promise<DecodedMedia> =>
    as === 'image' || !isAnimated
      ? { modality: 'image', header, frames: [await decodeImage(source, info, image, limits, signal)] }
      : { modality: 'video', header, frames: await decodeAnimation(source, info, { sampling: video, limits, signal }) };
  return imageSemaphore.use(work, { weight: weightOf(info, limits), signal });
}

/**
 * A thread at least, and proportional to the pixels: AVIF takes up to 19 bytes a pixel, so an image at the pixel limit
 * is decoded alone.
 */
const weightOf = ({ width, height }: ImageInfo, { maxPixels }: MediaLimits): number =>
  Math.max(THREAD_WEIGHT, Math.ceil(((width * height) / maxPixels) * imageSemaphore.capacity));

function wrongModality(received: string, expected: string, right: DecodedMedia['modality']): Problem {
  return new Problem(
    'wrong_modality',
    `The file is ${received}, but ${expected} is expected here; send it as ${right}, for example to /embed/${right}.`,
    { received_modality: right },
  );
}
