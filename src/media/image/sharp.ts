/**
 * sharp, set up for a service that decodes strangers' files. These settings hold for the whole
 * process, so everything in it that uses sharp gets it from here.
 */
import sharp from 'sharp';
import { Slots } from '../../lib/semaphore.js';

/** One thread an image: many images at once fill the cores better than one image cut up. */
sharp.concurrency(1);
/** Every upload is another picture: remembering operations would only keep its memory. */
sharp.cache(false);
/** What the content looks like decides nothing: only the loaders of the allow-list can be reached (no SVG). */
sharp.block({ operation: ['VipsForeignLoad'] });
sharp.unblock({
  operation: ['Jpeg', 'Png', 'Webp', 'Heif', 'Nsgif', 'Tiff'].map((loader) => `VipsForeignLoad${loader}`),
});

/**
 * sharp works in the threads of libuv's pool, which files need too: one of them is left free.
 * A picture takes a thread's worth of this, and the more of it the closer it is to the pixel
 * limit, because AVIF takes up to 19 bytes a pixel: the largest one is decoded alone.
 */
const POOL_THREADS = Number(process.env.UV_THREADPOOL_SIZE ?? 4);
const THREAD_WEIGHT = 1000;
const slots = new Slots(Math.max(1, POOL_THREADS - 1) * THREAD_WEIGHT);

/**
 * Runs `task`, which decodes a picture of `pixels`, when there is a thread and memory for it.
 * @throws Problem client_closed when the signal is aborted while waiting
 */
export function whenRoomFor<T>(
  pixels: number,
  maxPixels: number,
  task: () => Promise<T>,
  signal: AbortSignal | undefined,
): Promise<T> {
  const weight = Math.max(THREAD_WEIGHT, Math.ceil((pixels / maxPixels) * slots.capacity));
  return slots.use(task, { weight, signal });
}

export { sharp };
