/** Reads what image files say of themselves, in a thread of its own: a hostile file may take long. Finds places, too. */
import type { FileFacts } from './facts.js';
import { imageFacts } from './image-facts.js';
import { placeOf } from './places.js';

/** The bytes of an image, or a position. */
export type FactsTask = { bytes: Uint8Array } | { latitude: number; longitude: number };

export default (task: FactsTask): FileFacts => {
  const facts: FileFacts = 'bytes' in task ? imageFacts(task.bytes) : task;
  const { latitude, longitude } = facts;
  const place = latitude === undefined || longitude === undefined ? undefined : placeOf(latitude, longitude);
  return place === undefined ? facts : { ...facts, place };
};
