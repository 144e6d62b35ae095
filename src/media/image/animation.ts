import { clientClosed } from '../../common/errors.js';
import { decodeTimeout, tooManyPixels, videoTooLong } from '../errors.js';
import type { Frame, FrameSampling, Size } from '../frame.js';
import { planSampling, timestampsSeconds } from '../frame-sampling.js';
import type { MediaLimits } from '../limits.js';
import { fitToShape } from './fit.js';
import { type ImageInfo, type ImageSource, openImage, renderRgb } from './image.js';
import { storedSize, turnUpright } from './orientation.js';
import { sharp } from './sharp.js';

/** Memory for the full-size frames decoded at once; at least one frame is decoded, whatever its size. */
const WINDOW_BYTES = 32 * 2 ** 20;

/**
 * Decodes the sampled frames of an animated GIF or WebP, planned like those of a video.
 *
 * @param info from `inspectImage`
 * @returns frames of the size that `fitToShape` gives, ascending in time
 * @throws Problem `broken_media`, `too_many_pixels` (of all frames together), `video_too_long`, `decode_timeout`,
 *   `client_closed`
 */
export async function decodeAnimation(
  source: ImageSource,
  info: ImageInfo,
  options: { sampling: FrameSampling; limits: MediaLimits; signal?: AbortSignal | undefined },
): Promise<Frame[]> {
  const { sampling, limits, signal } = options;
  const durationSeconds = totalSeconds(info, limits);
  const timestamps = timestampsSeconds(planSampling(durationSeconds, sampling));
  const size = fitToShape(info.width, info.height, sampling);
  const stored = storedSize(info, info.orientation);
  const resizedTo = storedSize(size, info.orientation);
  const frames: Frame[] = [];
  for await (const rgb of fullSizePages(source, stored, pagesShown(timestamps, info.delaysMs), limits)) {
    if (signal?.aborted) throw clientClosed();
    const page = sharp(rgb, { raw: { ...stored, channels: 3 } });
    const resized = await renderRgb(page.resize(resizedTo.width, resizedTo.height, { fit: 'fill' }), source.format);
    const upright = turnUpright(resized, resizedTo, info.orientation);
    frames.push({ ...size, timeSeconds: timestamps[frames.length] ?? 0, rgb: upright });
  }
  return frames;
}

/** The animation's duration, checked against the limits. */
function totalSeconds({ width, height, delaysMs }: ImageInfo, { maxPixels, maxVideoSeconds }: MediaLimits): number {
  const pixels = width * height * delaysMs.length;
  if (pixels > maxPixels) throw tooManyPixels(`The ${delaysMs.length} frames of the animation have`, pixels, maxPixels);
  const seconds = delaysMs.reduce((sum, delayMs) => sum + delayMs, 0) / 1000;
  if (seconds > maxVideoSeconds) throw videoTooLong(maxVideoSeconds);
  return seconds;
}

/** The page shown at each timestamp. */
function pagesShown(timestamps: readonly number[], delaysMs: readonly number[]): number[] {
  let page = 0;
  let shownUntilSeconds = (delaysMs[0] ?? 0) / 1000;
  return timestamps.map((seconds) => {
    while (seconds >= shownUntilSeconds && page < delaysMs.length - 1) {
      page += 1;
      shownUntilSeconds += (delaysMs[page] ?? 0) / 1000;
    }
    return page;
  });
}

/**
 * The full-size RGB of each of `pages` (ascending). Neighbouring pages are decoded together, a window at a time,
 * because a page cannot be decoded without those before it. Pages are resized one by one, because resampling a window
 * as one tall image would mix their edges.
 */
async function* fullSizePages(
  source: ImageSource,
  { width, height }: Size,
  pages: readonly number[],
  limits: MediaLimits,
): AsyncGenerator<Uint8Array> {
  const pageBytes = width * height * 3;
  const windowPages = Math.max(1, Math.floor(WINDOW_BYTES / pageBytes));
  const deadlineMs = performance.now() + limits.timeoutMs;
  let window: { first: number; end: number; rgb: Uint8Array } = { first: 0, end: 0, rgb: new Uint8Array() };
  for (const page of pages) {
    if (page >= window.end) {
      const end = 1 + Math.max(...pages.filter((later) => later < page + windowPages));
      const timeoutMs = deadlineMs - performance.now();
      if (timeoutMs <= 0) throw decodeTimeout();
      const pipeline = openImage(source, { ...limits, timeoutMs }, { page, pages: end - page });
      window = { first: page, end, rgb: await renderRgb(pipeline, source.format) };
    }
    const offset = (page - window.first) * pageBytes;
    yield window.rgb.subarray(offset, offset + pageBytes);
  }
}
