import { clientClosed } from '../../common/errors.js';
import { decodeTimeout, tooManyPixels, videoTooLong } from '../errors.js';
import { type Frame, type FrameSampling, fitToShape } from '../frame.js';
import { momentsSeconds, planSampling } from '../frame-sampling.js';
import type { MediaLimits } from '../limits.js';
import { type ImageInfo, type ImageSource, openImage, renderRgb } from './image.js';
import { sharp } from './sharp.js';

/** Memory for the full-size pictures decoded in one go; at least one picture whatever its size. */
const WINDOW_BYTES = 32 * 2 ** 20;

/**
 * The sampled moments of an animated GIF or WebP, by the same rule as a video's.
 *
 * @param info as `inspectImage` told
 * @throws Problem broken_media, too_many_pixels (of all frames together), video_too_long, decode_timeout, client_closed
 */
export async function decodeAnimation(
  source: ImageSource,
  info: ImageInfo,
  options: { sampling: FrameSampling; limits: MediaLimits; signal?: AbortSignal | undefined },
): Promise<Frame[]> {
  const { sampling, limits, signal } = options;
  const durationSeconds = totalSeconds(info, limits);
  const moments = momentsSeconds(planSampling(durationSeconds, sampling));
  const size = fitToShape(info.width, info.height, sampling);
  const frames: Frame[] = [];
  for await (const rgb of pictures(source, info, pagesShown(moments, info.delaysMs), limits)) {
    if (signal?.aborted) throw clientClosed();
    const picture = sharp(rgb, { raw: { width: info.width, height: info.height, channels: 3 } });
    const resized = await renderRgb(picture.resize(size.width, size.height, { fit: 'fill' }), source.format);
    frames.push({ ...size, timeSeconds: moments[frames.length] ?? 0, rgb: resized });
  }
  return frames;
}

/** The animation's duration, once it is known to be within the limits. */
function totalSeconds({ width, height, delaysMs }: ImageInfo, { maxPixels, maxVideoSeconds }: MediaLimits): number {
  const pixels = width * height * delaysMs.length;
  if (pixels > maxPixels) throw tooManyPixels(`The ${delaysMs.length} frames of the animation have`, pixels, maxPixels);
  const seconds = delaysMs.reduce((sum, delayMs) => sum + delayMs, 0) / 1000;
  if (seconds > maxVideoSeconds) throw videoTooLong(maxVideoSeconds);
  return seconds;
}

/** Which page is on screen at each moment. */
function pagesShown(moments: readonly number[], delaysMs: readonly number[]): number[] {
  let page = 0;
  let shownUntilSeconds = (delaysMs[0] ?? 0) / 1000;
  return moments.map((seconds) => {
    while (seconds >= shownUntilSeconds && page < delaysMs.length - 1) {
      page += 1;
      shownUntilSeconds += (delaysMs[page] ?? 0) / 1000;
    }
    return page;
  });
}

/**
 * The full-size RGB of each of `pages` (ascending). Neighbouring pages are decoded together, a
 * window at a time, because a page cannot be decoded without those before it; resizing happens
 * apart, because resampling many pages as one tall picture would mix their edges.
 */
async function* pictures(
  source: ImageSource,
  { width, height }: ImageInfo,
  pages: readonly number[],
  limits: MediaLimits,
): AsyncGenerator<Uint8Array> {
  const pictureBytes = width * height * 3;
  const windowPages = Math.max(1, Math.floor(WINDOW_BYTES / pictureBytes));
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
    const offset = (page - window.first) * pictureBytes;
    yield window.rgb.subarray(offset, offset + pictureBytes);
  }
}
