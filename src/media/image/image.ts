import type { Metadata, Sharp, SharpOptions } from 'sharp';
import { Problem } from '../../common/errors.js';
import type { ImageFormat } from '../detect-format.js';
import { brokenMedia, decodeTimeout, tooManyPixels } from '../errors.js';
import { type Frame, type FrameShape, fitToShape } from '../frame.js';
import type { MediaLimits } from '../limits.js';
import type { ImageUpload } from '../upload.js';
import { assertFewPages, SHORTEST_DELAY_MS } from './page-count.js';
import { sharp } from './sharp.js';

/** An image file and what bounds the work on it. */
export type ImageSource = Pick<ImageUpload, 'bytes' | 'format'>;

/** What an image file says about itself, before its pixels are decoded. */
export interface ImageInfo {
  /** Pixels across, upright. */
  width: number;
  /** Pixels down, upright; of one frame when there are several. */
  height: number;
  /** How long each frame of an animated GIF or WebP is shown, in milliseconds; one entry for a still. */
  delaysMs: number[];
}

/** The name sharp gives each format: AVIF and HEIC share a container. */
const SHARP_NAMES: Record<ImageFormat, string> = {
  jpeg: 'jpeg',
  png: 'png',
  webp: 'webp',
  avif: 'heif',
  heic: 'heif',
  gif: 'gif',
  tiff: 'tiff',
};

/**
 * Reads an image's header.
 * @throws Problem broken_media, unsupported_media, too_many_pixels (of one frame), video_too_long, too_large
 */
export async function inspectImage({ bytes, format }: ImageSource, limits: MediaLimits): Promise<ImageInfo> {
  assertFewPages(bytes, format, limits);
  // No pixel limit yet: the header alone is read, so that the refusal can tell the true size.
  const metadata = await sharp(bytes, { limitInputPixels: false })
    .metadata()
    .catch((error: unknown) => {
      throw imageProblem(error, format);
    });
  // A polyglot: the decoder sees something else than the allow-list did.
  if (metadata.format !== SHARP_NAMES[format])
    throw brokenMedia('The image begins as one format and goes on as another.');
  const { width, height } = metadata.autoOrient;
  if (width * height > limits.maxPixels) throw tooManyPixels('The image has', width * height, limits.maxPixels);
  return { width, height, delaysMs: delaysOf(metadata) };
}

/** How long browsers show a frame that asks for less than they allow; so old files expect it. */
const DEFAULT_DELAY_MS = 100;

function delaysOf({ format, pages = 1, delay = [] }: Metadata): number[] {
  // A TIFF's pages are not a film, and neither are the pictures of a HEIC.
  if (format !== 'gif' && format !== 'webp') return [DEFAULT_DELAY_MS];
  return Array.from({ length: pages }, (_, page) => {
    const delayMs = delay[page] ?? 0;
    return delayMs < SHORTEST_DELAY_MS ? DEFAULT_DELAY_MS : delayMs;
  });
}

/**
 * One image as the model wants it: upright, on white where it is transparent, sRGB, 8 bits;
 * the first frame of an animated one.
 *
 * @param info as `inspectImage` told
 * @throws Problem broken_media, unsupported_media, too_many_pixels, decode_timeout
 */
export async function decodeImage(
  source: ImageSource,
  info: ImageInfo,
  shape: FrameShape,
  limits: MediaLimits,
): Promise<Frame> {
  const { width, height } = fitToShape(info.width, info.height, shape);
  // One pipeline, so that the JPEG decoder shrinks while it loads (up to 8x, almost for free).
  const pipeline = openImage(source, limits).autoOrient().resize(width, height, { fit: 'fill' });
  return { width, height, timeSeconds: 0, rgb: await renderRgb(pipeline, source.format) };
}

/** A pipeline that refuses what is too large or cut short. */
export function openImage({ bytes }: ImageSource, limits: MediaLimits, pages: SharpOptions = {}): Sharp {
  const pipeline = sharp(bytes, { ...pages, limitInputPixels: limits.maxPixels, failOn: 'error' });
  return pipeline.timeout({ seconds: Math.ceil(limits.timeoutMs / 1000) });
}

/**
 * Runs a pipeline to raw RGB. CMYK, greyscale, 16 bits and colour profiles all become sRGB here.
 * @throws Problem broken_media, unsupported_media, too_many_pixels, decode_timeout
 */
export async function renderRgb(pipeline: Sharp, format: ImageFormat): Promise<Uint8Array> {
  try {
    return await pipeline.flatten({ background: 'white' }).toColourspace('srgb').raw({ depth: 'uchar' }).toBuffer();
  } catch (error) {
    throw imageProblem(error, format);
  }
}

/** What sharp's message means for the client; the message itself stays in the cause. */
function imageProblem(error: unknown, format: ImageFormat): Problem {
  const message = error instanceof Error ? error.message : '';
  if (/^timeout/.test(message)) return decodeTimeout();
  if (/pixel limit/.test(message)) return new Problem('too_many_pixels', 'The image has more pixels than allowed.');
  if (format === 'heic' && /compression format|unsupported codec/i.test(message))
    return new Problem(
      'unsupported_media',
      'This HEIC image uses a codec (HEVC) that this service cannot decode; send it as JPEG, PNG, WebP or AVIF.',
      { received: 'a HEIC image' },
    );
  return brokenMedia(`The ${format.toUpperCase()} image cannot be decoded; it may be damaged or cut short.`, error);
}
