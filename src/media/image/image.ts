import type { Metadata, Sharp, SharpOptions } from 'sharp';
import { Problem } from '../../common/errors.js';
import { brokenMedia, decodeTimeout, tooManyPixels } from '../errors.js';
import { IMAGE_FORMATS, type ImageFormat } from '../formats.js';
import type { BoundedShape, Frame, FrameShape, PatchShape, Size } from '../frame.js';
import type { MediaLimits } from '../limits.js';
import type { ImageUpload } from '../upload.js';
import { assertFewPages, SHORTEST_DELAY_MS } from './page-count.js';
import { sharp } from './sharp.js';

/** An image file in memory. */
export type ImageSource = Pick<ImageUpload, 'bytes' | 'format'>;

/** What the header of an image file says, before its pixels are decoded. */
export interface ImageInfo {
  /** Pixels across, upright. */
  width: number;
  /** Pixels down, upright; of one frame of an animation. */
  height: number;
  /** How long each frame of an animation is shown, in milliseconds; one entry for a still. */
  delaysMs: number[];
}

/**
 * Reads an image's header.
 *
 * @throws Problem `broken_media`, `unsupported_media`, `too_many_pixels` (of one frame), `video_too_long` (animation of
 *   too many frames), `too_large` (TIFF of too many pages)
 */
export async function inspectImage({ bytes, format }: ImageSource, limits: MediaLimits): Promise<ImageInfo> {
  const { label, sharpFormat, pages } = IMAGE_FORMATS[format];
  if (pages !== 'single') assertFewPages(bytes, format, limits);
  // No pixel limit: only the header is read, so that the error can state the true size.
  const metadata = await sharp(bytes, { limitInputPixels: false })
    .metadata()
    .catch((error: unknown) => {
      throw toProblem(error, format);
    });
  // A polyglot: the decoder recognises another format than the first bytes announce.
  if (metadata.format !== sharpFormat)
    throw brokenMedia(`The file starts like a ${label} image, but its content is of another format.`);
  const { width, height } = metadata.autoOrient;
  if (width * height > limits.maxPixels) throw tooManyPixels('The image has', width * height, limits.maxPixels);
  return { width, height, delaysMs: pages === 'animation' ? delaysOf(metadata) : [DEFAULT_DELAY_MS] };
}

/** How long browsers show a frame whose delay is below their minimum; old files rely on it. */
const DEFAULT_DELAY_MS = 100;

function delaysOf({ pages = 1, delay = [] }: Metadata): number[] {
  return Array.from({ length: pages }, (_, page) => {
    const delayMs = delay[page] ?? 0;
    return delayMs < SHORTEST_DELAY_MS ? DEFAULT_DELAY_MS : delayMs;
  });
}

/**
 * Decodes an image, or the first frame of an animation: upright, transparent pixels over white, sRGB.
 *
 * @param info from `inspectImage`
 * @returns one frame of the size that `fitToShape` gives
 * @throws Problem `broken_media`, `unsupported_media`, `too_many_pixels`, `decode_timeout`
 */
export async function decodeImage(
  source: ImageSource,
  info: ImageInfo,
  shape: FrameShape,
  limits: MediaLimits,
): Promise<Frame> {
  const { width, height } = fitToShape(info.width, info.height, shape);
  // Resizing in the loading pipeline lets the JPEG decoder shrink while it loads (up to 8x, almost for free).
  const pipeline = openImage(source, limits).autoOrient().resize(width, height, { fit: 'fill' });
  return { width, height, timeSeconds: 0, rgb: await renderRgb(pipeline, source.format) };
}

/**
 * Opens an image within the limits on pixels and time; truncated files are errors.
 *
 * @param range the pages to decode, stacked vertically; without it the first
 */
export function openImage(
  { bytes }: ImageSource,
  limits: MediaLimits,
  range: Pick<SharpOptions, 'page' | 'pages'> = {},
): Sharp {
  const pipeline = sharp(bytes, { ...range, limitInputPixels: limits.maxPixels, failOn: 'error' });
  return pipeline.timeout({ seconds: Math.ceil(limits.timeoutMs / 1000) });
}

/**
 * Runs a pipeline. CMYK, greyscale, 16 bits and colour profiles are converted to sRGB, transparent pixels put on white.
 *
 * @returns RGB, 8 bits a channel, row-major, `width * height * 3` bytes
 * @throws Problem `broken_media`, `unsupported_media`, `too_many_pixels`, `decode_timeout`
 */
export async function renderRgb(pipeline: Sharp, format: ImageFormat): Promise<Uint8Array> {
  try {
    return await pipeline.flatten({ background: 'white' }).toColourspace('srgb').raw({ depth: 'uchar' }).toBuffer();
  } catch (error) {
    throw toProblem(error, format);
  }
}

/** Translates sharp's message for the client; the original stays in the cause. */
function toProblem(error: unknown, format: ImageFormat): Problem {
  const message = error instanceof Error ? error.message : '';
  if (/^timeout/.test(message)) return decodeTimeout();
  if (/pixel limit/.test(message)) return new Problem('too_many_pixels', 'The image has more pixels than allowed.');
  if (format === 'heic' && /compression format|unsupported codec/i.test(message))
    return new Problem(
      'unsupported_media',
      'This HEIC image uses a codec (HEVC) that this service cannot decode; send it as JPEG, PNG, WebP or AVIF.',
      { received: 'a HEIC image' },
    );
  return brokenMedia(
    `The ${IMAGE_FORMATS[format].label} image cannot be decoded; it may be damaged or cut short.`,
    error,
  );
}

/**
 * The size at which an image or video of `width x height` pixels is decoded.
 *
 * - `PatchShape`: the longer side becomes `side`, the shorter one keeps the aspect ratio to the nearest whole patch (at
 *   least one), so no patch is padding and the distortion stays below half a patch.
 * - `BoundedShape`: the longer side becomes at most `maxSide`; the aspect ratio is kept to the nearest pixel.
 */
export const fitToShape = (width: number, height: number, shape: FrameShape): Size =>
  'maxSide' in shape ? fitWithin(width, height, shape) : fitToPatches(width, height, shape);

function fitWithin(width: number, height: number, { maxSide }: BoundedShape): Size {
  const scale = Math.min(1, maxSide / Math.max(width, height));
  const fit = (length: number) => Math.max(1, Math.round(length * scale));
  return { width: fit(width), height: fit(height) };
}

function fitToPatches(width: number, height: number, { side, patch }: PatchShape): Size {
  const scale = side / Math.max(width, height);
  const fit = (length: number) => Math.max(patch, Math.round((length * scale) / patch) * patch);
  return { width: fit(width), height: fit(height) };
}
