import { type Connection, call } from './http.js';
import type {
  Deleted,
  Deletion,
  Embedding,
  Embeddings,
  Health,
  Hits,
  Input,
  Item,
  ItemListing,
  ItemPage,
  Items,
  NewItem,
  NewItems,
  Query,
} from './types.js';

/**
 * A client for onespace over `fetch`, for Node.js and browsers: one function for each operation of the service. An
 * input is JSON, or a form of files and texts (`formOf`). All of them throw `ServiceError` for an error reply.
 */

export { type Connection, ServiceError } from './http.js';
export type * from './types.js';

/** Embeds one input, of one part or several, as one vector. */
export const embed = (to: Connection, input: Input | FormData): Promise<Embedding> =>
  call<Embedding>(to, 'POST', '/embed', input);

/** Embeds several texts. @returns an embedding or an error for each, in their order */
export async function embedTexts(to: Connection, texts: readonly string[]): Promise<Embeddings['results']> {
  const reply = await call<Embeddings>(to, 'POST', '/embed/text', { text: texts });
  return reply.results;
}

/** Searches the stored items. @returns the nearest, best first */
export const retrieve = async (to: Connection, query: Query | FormData): Promise<Hits['results']> =>
  (await call<Hits>(to, 'POST', '/retrieve', query)).results;

/** Embeds and stores one item; an item with the same id is replaced. */
export const putItem = (to: Connection, item: NewItem | FormData): Promise<Item> =>
  call<Item>(to, 'POST', '/items', item);

/** Embeds and stores many items with one write. @returns each as it is stored, or its own error, in their order */
export const putItems = async (to: Connection, items: NewItems | FormData): Promise<Items['results']> =>
  (await call<Items>(to, 'POST', '/items', items)).results;

/** Reads one item. @throws ServiceError `not_found` */
export const getItem = (to: Connection, id: string, { withEmbedding = false } = {}): Promise<Item> =>
  call<Item>(to, 'GET', `/items/${encodeURIComponent(id)}${withEmbedding ? '?include=embedding' : ''}`);

/** Deletes one item. @throws ServiceError `not_found` */
export const deleteItem = (to: Connection, id: string): Promise<void> =>
  call<void>(to, 'DELETE', `/items/${encodeURIComponent(id)}`);

/** Deletes the items that a filter selects, or those with these ids. @returns how many were deleted */
export const deleteItems = async (to: Connection, which: Deletion): Promise<number> =>
  (await call<Deleted>(to, 'DELETE', '/items', which)).deleted;

/** Every item, ordered by id; the next page is fetched when the items before it have been read. */
export async function* listItems(to: Connection, listing: ItemListing = {}): AsyncGenerator<Item> {
  for (let cursor = listing.cursor; ; ) {
    const query = Object.entries({ ...listing, cursor }).filter(([, value]) => value !== undefined);
    const page = await call<ItemPage>(to, 'GET', `/items?${new URLSearchParams(query as [string, string][])}`);
    yield* page.items;
    if (page.next_cursor === undefined) return;
    cursor = page.next_cursor;
  }
}

/** The state of the service and its limits. @throws ServiceError when the default model cannot embed */
export const health = (to: Connection): Promise<Health> => call<Health>(to, 'GET', '/health');

/**
 * A form with files: `parts` (texts and files) in their order, and `fields` beside them, such as `id`,
 * `metadata` or `top_k`. Fields that are objects are sent as JSON.
 */
export function formOf(parts: readonly (string | Blob)[], fields: Record<string, unknown> = {}): FormData {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    if (value !== undefined) form.set(name, typeof value === 'object' ? JSON.stringify(value) : String(value));
  }
  for (const part of parts) form.append(typeof part === 'string' ? 'text' : 'file', part);
  return form;
}
