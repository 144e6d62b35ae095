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

/** The limits on files that lie below a media root or were sent to be stored: films are long. */
export function storedMediaLimits(
  config: Parameters<typeof mediaLimits>[0] & Pick<Config, 'MAX_STORED_SECONDS'>,
): MediaLimits {
  const limits = mediaLimits(config);
  const { MAX_STORED_SECONDS } = config;
  const times = Math.max(1, MAX_STORED_SECONDS / limits.maxVideoSeconds);
  return { ...limits, maxVideoSeconds: MAX_STORED_SECONDS, timeoutMs: Math.min(times, MOST_TIMES) * limits.timeoutMs };
}

/** A long video is not decoded whole; this many times as long as one that was sent is more than its samples take. */
const MOST_TIMES = 10;
