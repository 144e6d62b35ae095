/**
 * sharp, configured for files from untrusted clients. The settings hold for the whole process, so every module imports
 * sharp from here.
 */
import sharp from 'sharp';
import { Semaphore } from '../../lib/async/semaphore.js';
import { IMAGE_FORMATS } from '../formats.js';

/** One thread an image: decoding several images at once uses the cores better than splitting one image. */
sharp.concurrency(1);
/** Uploads differ from each other, so cached operations would only hold memory. */
sharp.cache(false);
/** Only the loaders of the table of formats can be reached, whatever a file's content looks like (no SVG). */
sharp.block({ operation: ['VipsForeignLoad'] });
sharp.unblock({
  operation: [
    ...new Set(
      Object.values(IMAGE_FORMATS).flatMap(({ vipsLoader }) =>
        vipsLoader === undefined ? [] : [`VipsForeignLoad${vipsLoader}`],
      ),
    ),
  ],
});

/** What an image of few pixels weighs on `imageSemaphore`: one thread. */
export const THREAD_WEIGHT = 1000;
const POOL_THREADS = Number(process.env.UV_THREADPOOL_SIZE ?? 4);

/**
 * Bounds the images that are decoded at once. sharp works in libuv's thread pool, which file access needs too, so one
 * thread is left free.
 */
export const imageSemaphore = new Semaphore(Math.max(1, POOL_THREADS - 1) * THREAD_WEIGHT);

export { sharp };
