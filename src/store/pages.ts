import { encodeCursor } from './cursor.js';
import { LIMITS } from './limits.js';
import type { ItemInfo, ListOptions, VectorStore } from './vector-store.js';

/** Which items, and how many of them per page; the most that a store returns if nothing is said. */
export type PageOptions = Omit<ListOptions, 'limit' | 'cursor'> & {
  limit?: number;
  /** Id of the last item that is left out; from the first one when undefined. */
  after?: string;
};

/**
 * Every page of a store, in order of id. Items added or deleted in the meantime may be included or not; no other
 * item is missed or repeated.
 */
export async function* eachPage(
  store: Pick<VectorStore, 'list'>,
  { limit = LIMITS.pageItems, after, ...options }: PageOptions = {},
): AsyncGenerator<ItemInfo[]> {
  let cursor = after === undefined ? undefined : encodeCursor(after);
  do {
    const page = await store.list({ ...options, limit, ...(cursor === undefined ? {} : { cursor }) });
    yield page.items;
    cursor = page.nextCursor;
  } while (cursor !== undefined);
}

/** Every item of a store, in order of id, as `eachPage` reads them. */
export async function* eachItem(store: Pick<VectorStore, 'list'>, options?: PageOptions): AsyncGenerator<ItemInfo> {
  for await (const items of eachPage(store, options)) yield* items;
}
