import type { Metadata, Sharp, SharpOptions } from 'sharp';
import { Problem } from '../../common/errors.js';
import { brokenMedia, decodeTimeout, tooManyPixels } from '../errors.js';
import { IMAGE_FORMATS, type ImageFormat } from '../formats.js';
import type { Frame, FrameShape } from '../frame.js';
import type { MediaLimits } from '../limits.js';
import type { ImageUpload } from '../upload.js';
import { fitToShape } from './fit.js';
import { bmpSize } from './foreign/bmp-size.js';
import { foreignDecoder } from './foreign/foreign-decoder.js';
import { jxlSize } from './foreign/jxl-size.js';
import type { ForeignFormat } from './foreign/protocol.js';
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
  /** How the stored pixels are turned and mirrored, as EXIF counts it; 1 for upright. */
  orientation: number;
}

/**
 * Reads an image's header.
 *
 * @throws Problem `broken_media`, `unsupported_media`, `too_many_pixels` (of one frame), `video_too_long` (animation of
 *   too many frames), `too_large` (TIFF of too many pages)
 */
export async function inspectImage(source: ImageSource, limits: MediaLimits): Promise<ImageInfo> {
  const { bytes, format } = source;
  const { label, sharpFormat, pages } = IMAGE_FORMATS[format];
  if (sharpFormat === undefined) return inspectForeign(source as ForeignSource, limits);
  if (pages !== 'single') assertFewPages(bytes, format, limits);
  // No pixel limit: only the header is read, so that the error can state the true size; damage shows in decoding.
  const metadata = await sharp(bytes, { limitInputPixels: false, failOn: 'none' })
    .metadata()
    .catch((error: unknown) => {
      throw toProblem(error, format);
    });
  // A polyglot: the decoder recognises another format than the first bytes announce.
  if (metadata.format !== sharpFormat)
    throw brokenMedia(`The file starts like a ${label} image, but its content is of another format.`);
  const { width, height } = metadata.autoOrient;
  if (width * height > limits.maxPixels) throw tooManyPixels('The image has', width * height, limits.maxPixels);
  const delaysMs = pages === 'animation' ? delaysOf(metadata) : [DEFAULT_DELAY_MS];
  return { width, height, delaysMs, orientation: metadata.orientation ?? 1 };
}

type ForeignSource = { bytes: Uint8Array; format: ForeignFormat };

/** Reads the header of an image that sharp does not know. */
function inspectForeign({ bytes, format }: ForeignSource, { maxPixels }: MediaLimits): ImageInfo {
  const size = format === 'jxl' ? jxlSize(bytes) : bmpSize(bytes);
  if (size === undefined) throw brokenMedia(`The ${IMAGE_FORMATS[format].label} image has no valid header.`);
  if (size.width * size.height > maxPixels) throw tooManyPixels('The image has', size.width * size.height, maxPixels);
  return { ...size, delaysMs: [DEFAULT_DELAY_MS], orientation: 1 };
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
  signal?: AbortSignal,
): Promise<Frame> {
  if (IMAGE_FORMATS[source.format].sharpFormat === undefined)
    return foreignDecoder.decode(source as ForeignSource, shape, limits, signal);
  const { width, height } = fitToShape(info.width, info.height, shape);
  // Resizing in the loading pipeline lets the JPEG decoder shrink while it loads (up to 8x, almost for free).
  const render = (from: ImageSource, failOn: SharpOptions['failOn']) => {
    const pipeline = openImage(from, limits, { failOn }).autoOrient().resize(width, height, { fit: 'fill' });
    return renderRgb(pipeline, source.format);
  };
  if (source.format === 'heic') {
    // Almost every HEIC has HEVC, which sharp does not decode. Its message is no proof of that: several files share it.
    const rgb = await render(source, 'error').catch((error: unknown) => {
      if (!(error instanceof Problem && error.code === 'broken_media')) throw error;
    });
    if (rgb === undefined) return foreignDecoder.decode({ ...source, format: 'heic' }, shape, limits, signal);
    return { width, height, timeSeconds: 0, rgb };
  }
  const rgb = await render(source, 'error').catch(async (error: unknown) => {
    if (!SHOWN_IN_PART.includes(source.format)) throw error;
    const ended = withEndMark(source);
    return render(ended, ended === source ? 'error' : 'warning').catch(async () => {
      if (await lacksRows(ended, limits)) throw error;
      return render(ended, 'none');
    });
  });
  return { width, height, timeSeconds: 0, rgb };
}

/*
 * Files without their last bytes: copies and uploads that were cut short, and cameras that leave out the end mark. What a
 * viewer shows as whole is taken.
 */

/** The formats whose decoders leave what is missing in one colour. */
const SHOWN_IN_PART: readonly ImageFormat[] = ['jpeg', 'gif'];
const END_MARK = Buffer.from([0xff, 0xd9]);
/** Rows that may be missing, as a share. */
const MISSING_ROWS = 0.02;
const PROBE_WIDTH = 64;

/** Whether much of an image is missing. Decoders fill that with one colour: the rows at the end are all alike. */
async function lacksRows(source: ImageSource, limits: MediaLimits): Promise<boolean> {
  const pipeline = openImage(source, limits, { failOn: 'none' });
  const { height = 0 } = await pipeline.metadata();
  const narrow = pipeline.resize(PROBE_WIDTH, height, { fit: 'fill', kernel: 'nearest' });
  return alikeRowsAtEnd(await renderRgb(narrow, source.format), PROBE_WIDTH * 3) > Math.max(1, height * MISSING_ROWS);
}

/** A JPEG without its end mark, with one; zeros with which some cameras and servers pad do not count. */
function withEndMark(source: ImageSource): ImageSource {
  const { bytes, format } = source;
  let end = bytes.length;
  while (end > 2 && bytes[end - 1] === 0) end--;
  const hasMark = bytes[end - 2] === END_MARK[0] && bytes[end - 1] === END_MARK[1];
  return format !== 'jpeg' || hasMark ? source : { format, bytes: Buffer.concat([bytes, END_MARK]) };
}

function alikeRowsAtEnd(rgb: Uint8Array, rowBytes: number): number {
  const row = (i: number) => rgb.subarray(rgb.length - (i + 1) * rowBytes, rgb.length - i * rowBytes);
  const last = row(0);
  let count = 1;
  while ((count + 1) * rowBytes <= rgb.length && row(count).every((value, i) => value === last[i])) count++;
  return count;
}

/**
 * Opens an image within the limits on pixels and time.
 *
 * @param options the pages to decode, stacked vertically, without it the first; and what is an error (default: truncated
 *   files and worse)
 */
export function openImage(
  { bytes }: ImageSource,
  limits: MediaLimits,
  options: Pick<SharpOptions, 'page' | 'pages' | 'failOn'> = {},
): Sharp {
  const pipeline = sharp(bytes, { failOn: 'error', ...options, limitInputPixels: limits.maxPixels });
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
  return brokenMedia(
    `The ${IMAGE_FORMATS[format].label} image cannot be decoded; it may be damaged or cut short.`,
    error,
  );
}
