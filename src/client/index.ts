import type {
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
} from '../http/schemas/types.js';
import { type Connection, call } from './http.js';

/**
 * A client for onespace, over fetch: one function for each thing the service does, typed by the schemas that
 * the service checks. What takes an input takes JSON, or a form of files and texts (`formOf`).
 */

export type * from '../http/schemas/types.js';
export { type Connection, ServiceError } from './http.js';

/** One input, of one part or several, as one vector. */
export const embed = (to: Connection, input: Input | FormData) => call<Embedding>(to, 'POST', '/embed', input);

/** A vector, or an error, for each text, in their order. */
export async function embedTexts(to: Connection, texts: readonly string[]): Promise<Embeddings['results']> {
  const reply = await call<Embeddings>(to, 'POST', '/embed/text', { text: texts });
  return reply.results;
}

/** The nearest neighbours of anything, best first. */
export const retrieve = async (to: Connection, query: Query | FormData): Promise<Hits['results']> =>
  (await call<Hits>(to, 'POST', '/retrieve', query)).results;

/** Embeds and stores; an item of the same id is replaced. */
export const putItem = (to: Connection, item: NewItem | FormData) => call<Item>(to, 'POST', '/items', item);

/** Embeds and stores many with one write. @returns each as it is stored, or its own error, in their order */
export const putItems = async (to: Connection, items: NewItems | FormData): Promise<Items['results']> =>
  (await call<Items>(to, 'POST', '/items', items)).results;

export const getItem = (to: Connection, id: string, { withEmbedding = false } = {}) =>
  call<Item>(to, 'GET', `/items/${encodeURIComponent(id)}${withEmbedding ? '?include=embedding' : ''}`);

export const deleteItem = (to: Connection, id: string) => call<void>(to, 'DELETE', `/items/${encodeURIComponent(id)}`);

/** Deletes what a filter selects, or those of some ids. @returns how many there were */
export const deleteItems = async (to: Connection, which: Deletion): Promise<number> =>
  (await call<{ deleted: number }>(to, 'DELETE', '/items', which)).deleted;

/** Every item, ordered by id, fetched page by page while they are read. */
export async function* listItems(to: Connection, listing: ItemListing = {}): AsyncGenerator<Item> {
  for (let cursor = listing.cursor; ; ) {
    const query = Object.entries({ ...listing, cursor }).filter(([, value]) => value !== undefined);
    const page = await call<ItemPage>(to, 'GET', `/items?${new URLSearchParams(query as [string, string][])}`);
    yield* page.items;
    if (page.next_cursor === undefined) return;
    cursor = page.next_cursor;
  }
}

export const health = (to: Connection) => call<Health>(to, 'GET', '/health');

/** Parts in their order as a form, with what stands beside them; objects go as JSON. */
export function formOf(parts: readonly (string | Blob)[], fields: Record<string, unknown> = {}): FormData {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    if (value !== undefined) form.set(name, typeof value === 'object' ? JSON.stringify(value) : String(value));
  }
  for (const part of parts) form.append(typeof part === 'string' ? 'text' : 'file', part);
  return form;
}
