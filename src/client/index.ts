import { type Connection, call } from './http.js';
import type {
  Deleted,
  Deletion,
  DuplicateGroup,
  Duplicates,
  Embedding,
  Embeddings,
  Health,
  Hits,
  Input,
  Item,
  ItemListing,
  ItemPage,
  Items,
  Job,
  NewItem,
  NewItems,
  NewJob,
  Query,
  RefusedFile,
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

/** The items nearest to a stored one, best first. @throws ServiceError `not_found` */
export const similarItems = async (to: Connection, id: string, { topK = 10 } = {}): Promise<Hits['results']> =>
  (await call<Hits>(to, 'GET', `/items/${encodeURIComponent(id)}/similar?top_k=${topK}`)).results;

/** The groups of images and videos that are stored more than once; the next page is fetched when those before are read. */
export async function* listDuplicates(to: Connection): AsyncGenerator<DuplicateGroup> {
  for (let cursor: string | undefined; ; ) {
    const query = cursor === undefined ? '' : `?cursor=${encodeURIComponent(cursor)}`;
    const page = await call<Duplicates>(to, 'GET', `/duplicates${query}`);
    yield* page.groups;
    if (page.next_cursor === undefined) return;
    cursor = page.next_cursor;
  }
}

/** Starts to index a folder of a media root. @throws ServiceError `not_found` where the service does not see it */
export const startJob = (to: Connection, job: NewJob): Promise<Job> => call<Job>(to, 'POST', '/jobs', job);

/** One job, with its progress. @throws ServiceError `not_found` */
export const getJob = (to: Connection, id: string): Promise<Job> =>
  call<Job>(to, 'GET', `/jobs/${encodeURIComponent(id)}`);

/** Every job, the newest first. */
export const listJobs = async (to: Connection): Promise<Job[]> =>
  (await call<{ jobs: Job[] }>(to, 'GET', '/jobs')).jobs;

/** Pauses a job, goes on with it, or ends it. @throws ServiceError `not_found`, `conflict` */
export const changeJob = (to: Connection, id: string, action: 'pause' | 'resume' | 'cancel'): Promise<Job> =>
  call<Job>(to, 'POST', `/jobs/${encodeURIComponent(id)}/${action}`);

/** Every file that a job could not store, with its reason. */
export async function listRefusedFiles(to: Connection, id: string): Promise<RefusedFile[]> {
  const all: RefusedFile[] = [];
  for (let page: RefusedFile[]; ; all.push(...page)) {
    const route = `/jobs/${encodeURIComponent(id)}/refused?limit=1000&skip=${all.length}`;
    page = (await call<{ refused: RefusedFile[] }>(to, 'GET', route)).refused;
    if (page.length === 0) return all;
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
