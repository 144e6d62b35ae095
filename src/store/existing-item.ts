import { Problem } from '../common/errors.js';
import type { Item, VectorStore } from './vector-store.js';

export const noItem = (id: string): Problem => new Problem('not_found', `There is no item "${id}".`, { id });

/** The item of an id that a caller named. @throws Problem `not_found`; and what reading throws */
export async function existingItem(store: Pick<VectorStore, 'get'>, id: string): Promise<Item> {
  const item = await store.get(id);
  if (item === undefined) throw noItem(id);
  return item;
}
