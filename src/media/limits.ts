import type { Config } from '../config.js';

/** What one file may cost before it is refused. */
export interface MediaLimits {
  /** Most pixels of a picture, of one video frame, and of all frames of an animated image together. */
  maxPixels: number;
  /** Longest clip, in seconds. */
  maxVideoSeconds: number;
  /** Longest time to decode one file, in milliseconds. */
  timeoutMs: number;
}

export function mediaLimits(
  config: Pick<Config, 'MAX_IMAGE_PIXELS' | 'MAX_VIDEO_SECONDS' | 'MAX_DECODE_SECONDS'>,
): MediaLimits {
  return {
    maxPixels: config.MAX_IMAGE_PIXELS,
    maxVideoSeconds: config.MAX_VIDEO_SECONDS,
    timeoutMs: config.MAX_DECODE_SECONDS * 1000,
  };
}
