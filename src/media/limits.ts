import type { Config } from '../config.js';

/** What decoding one file may cost; files beyond are refused. */
export interface MediaLimits {
  /** Most pixels of an image, of one video frame, and of all frames of an animated image together. */
  maxPixels: number;
  /** Longest video, in seconds. */
  maxVideoSeconds: number;
  /** Longest time to decode one file, in milliseconds. */
  timeoutMs: number;
}

/** The limits that the settings give. */
export function mediaLimits(
  config: Pick<Config, 'MAX_IMAGE_PIXELS' | 'MAX_VIDEO_SECONDS' | 'MAX_DECODE_SECONDS'>,
): MediaLimits {
  return {
    maxPixels: config.MAX_IMAGE_PIXELS,
    maxVideoSeconds: config.MAX_VIDEO_SECONDS,
    timeoutMs: config.MAX_DECODE_SECONDS * 1000,
  };
}
