import { clientClosed, Problem } from '../common/errors.js';
import type { Frame, FrameSampling, FrameShape } from './frame.js';
import { decodeAnimation } from './image/animation.js';
import { decodeImage, inspectImage } from './image/image.js';
import { whenRoomFor } from './image/sharp.js';
import type { MediaLimits } from './limits.js';
import type { ImageUpload, Upload } from './upload.js';
import type { Ffmpeg } from './video/ffmpeg.js';
import { decodeVideo } from './video/video.js';

/** Pictures of one upload, in order: one of an image, several of a video. */
export interface DecodedMedia {
  modality: 'image' | 'video';
  frames: Frame[];
}

export interface DecodeOptions {
  /** What the caller expects; without it the content decides. An animated GIF or WebP may be either. */
  as?: 'image' | 'video' | undefined;
  /** How the model wants images. */
  image: FrameShape;
  /** How the model wants videos. */
  video: FrameSampling;
  limits: MediaLimits;
  ffmpeg: Ffmpeg;
  /** Aborted when the client has gone: running decoders are killed. */
  signal?: AbortSignal | undefined;
}

/**
 * From a received file to pixels. The upload stays the caller's to dispose of.
 *
 * @throws Problem wrong_modality, unsupported_media, broken_media, too_many_pixels, video_too_long,
 *   decode_timeout, client_closed
 */
export async function decodeMedia(upload: Upload, options: DecodeOptions): Promise<DecodedMedia> {
  const { as, video, limits, ffmpeg, signal } = options;
  if (signal?.aborted) throw clientClosed();
  if (upload.modality === 'image') return decodeImageFile(upload, options);
  if (as === 'image') throw wrongModality(`a video (${upload.format})`, 'an image', 'video');
  return { modality: 'video', frames: await decodeVideo(upload, { sampling: video, limits, ffmpeg, signal }) };
}

/** A still or an animation: GIF and WebP tell which only in what follows their first bytes. */
async function decodeImageFile(upload: ImageUpload, options: DecodeOptions): Promise<DecodedMedia> {
  const { as, image, video, limits, signal } = options;
  const info = await inspectImage(upload, limits);
  const isAnimated = info.delaysMs.length > 1;
  if (as === 'video' && !isAnimated) throw wrongModality(`a still image (${upload.format})`, 'a video', 'image');
  const work = async (): Promise<DecodedMedia> =>
    as === 'image' || !isAnimated
      ? { modality: 'image', frames: [await decodeImage(upload, info, image, limits)] }
      : { modality: 'video', frames: await decodeAnimation(upload, info, { sampling: video, limits, signal }) };
  return whenRoomFor(info.width * info.height, limits.maxPixels, work, signal);
}

function wrongModality(received: string, expected: string, right: DecodedMedia['modality']): Problem {
  return new Problem(
    'wrong_modality',
    `The file is ${received}, but ${expected} is expected here; send it as ${right}, for example to /embed/${right}.`,
    { received_modality: right },
  );
}
