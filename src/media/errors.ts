import { Problem } from '../common/errors.js';

const millions = (count: number) => `${(count / 1e6).toFixed(1)} million`;

/** @param what the sentence's subject and verb: "The image has" */
export const tooManyPixels = (what: string, pixels: number, maxPixels: number) =>
  new Problem('too_many_pixels', `${what} ${millions(pixels)} pixels; at most ${millions(maxPixels)} are allowed.`, {
    pixels,
    limit_pixels: maxPixels,
  });

export const brokenMedia = (detail: string, cause?: unknown) => new Problem('broken_media', detail, {}, { cause });

export const decodeTimeout = () =>
  new Problem(
    'decode_timeout',
    'Decoding the file took longer than this service allows; send a smaller or shorter one.',
  );

export const videoTooLong = (maxSeconds: number) =>
  new Problem('video_too_long', `The video is longer than the ${maxSeconds} seconds allowed; send a shorter one.`, {
    limit_seconds: maxSeconds,
  });
