/** Reads what image files say of themselves, in a thread of its own: a hostile file may take long. Finds places, too. */
import type { FileFacts } from './facts.js';
import { imageFacts } from './image-facts.js';
import { placeOf } from './places.js';

/** The bytes of an image, or a position. */
export type FactsTask = { bytes: Uint8Array } | { latitude: number; longitude: number };

export default (task: FactsTask): FileFacts => {
  if ('bytes' in task) return imageFacts(task.bytes);
  const place = placeOf(task.latitude, task.longitude);
  return place === undefined ? {} : { place };
};
