import { Problem } from '../../common/errors.js';
import { forEachModality, MODALITIES, type Modality } from '../../common/modality.js';
import { innerProduct } from '../../common/vector.js';
import { assert } from '../../lib/assert.js';
import { decodeCursor, encodeCursor } from '../cursor.js';
import { compileFilter, type Predicate } from '../filter.js';
import { LIMITS } from '../limits.js';
import { checkDeletion, checkId, checkList, checkSearch, checkVector, encodeItem } from '../validate.js';
import type {
  Counts,
  Filter,
  Hit,
  Item,
  ItemInfo,
  ListOptions,
  ModelBinding,
  Page,
  SearchOptions,
  VectorStore,
} from '../vector-store.js';
import { ChromaClient, type ChromaReply } from './client.js';
import { type ChromaMetadata, fromChroma, toChromaMetadata, whereOf } from './record.js';

export interface ChromaStoreOptions {
  /** URL of the server, such as `http://localhost:8000`. */
  url: string;
  /** Created when missing; bound to one model. 3 to 512 characters: letters, digits, dot, underscore, hyphen. */
  collection: string;
  binding: ModelBinding;
  /** Time limit of one attempt. Default: 10 s. */
  timeoutMs?: number;
  /** Attempts beyond the first. Default: 3. */
  retries?: number;
}

const DATABASE = '/tenants/default_tenant/databases/default_database';
const TIMEOUT_MS = 10_000;
const RETRIES = 3;
/** Limits of a request that asks whether the server answers. */
const CHECK = { timeoutMs: 2_000, retries: 0 };
/** Records requested at a time. */
const PAGE_RECORDS = 1000;
/** Candidates requested beyond `k`, so that ties seldom need a second request. */
const OVERSAMPLING_MARGIN = 32;
/** Search parameters that are exact at moderate sizes; Chroma's defaults find fewer neighbours. */
const HNSW = { space: 'ip', ef_construction: 200, ef_search: 500, max_neighbors: 32 };
const NOT_FOUND = 404;
const CONFLICT = 409;

/**
 * Opens a collection of a Chroma server that several replicas may share.
 * @throws Problem `index_model_mismatch`, `store_unavailable`
 */
export async function openChromaStore(options: ChromaStoreOptions): Promise<VectorStore> {
  const { collection, binding, timeoutMs = TIMEOUT_MS, retries = RETRIES } = options;
  const client = new ChromaClient({ url: options.url.replace(/\/$/, ''), timeoutMs, retries });
  const { id, metadata } = await getOrCreate(client, collection, binding);
  const { model, revision, dim } = metadata ?? {};
  if (model !== binding.model || revision !== binding.revision || dim !== binding.dim)
    throw new Problem(
      'index_model_mismatch',
      `The Chroma collection "${collection}" holds vectors of ${model} (revision ${revision}, ${dim} dimensions), but the ` +
        `service runs ${binding.model} (revision ${binding.revision}, ${binding.dim} dimensions). Run the model that made ` +
        'it, or delete the collection and index the originals again.',
    );
  return new ChromaStore(client, `${DATABASE}/collections/${id}`, binding.dim);
}

interface Collection {
  id: string;
  metadata: Partial<ModelBinding> | null;
}

/** Not Chroma's own `get_or_create`, which overwrites the metadata of an existing collection. */
async function getOrCreate(client: ChromaClient, name: string, binding: ModelBinding): Promise<Collection> {
  const path = `${DATABASE}/collections`;
  const found = await client.request('GET', `${path}/${encodeURIComponent(name)}`);
  if (found.status !== NOT_FOUND) return expectOk(found) as Collection;
  const { model, revision, dim } = binding;
  const request = { name, metadata: { model, revision, dim }, configuration: { hnsw: HNSW } };
  const created = await client.request('POST', path, request);
  // Another replica created it first.
  if (created.status === CONFLICT) return getOrCreate(client, name, binding);
  return expectOk(created) as Collection;
}

interface Records {
  ids: string[];
  metadatas: (ChromaMetadata | null)[] | null;
  embeddings: number[][] | null;
}

/**
 * The store contract on a Chroma server. Chroma proposes neighbours by HNSW, which are scored again here; where
 * they do not suffice, every record that can match is scored.
 */
class ChromaStore implements VectorStore {
  readonly #client: ChromaClient;
  readonly #path: string;
  readonly #dim: number;
  #closed = false;
  #largest: Modality = 'image';

  constructor(client: ChromaClient, path: string, dim: number) {
    this.#client = client;
    this.#path = path;
    this.#dim = dim;
  }

  async upsert(items: readonly Item[]): Promise<void> {
    if (items.length > LIMITS.itemsPerUpsert)
      throw new Problem('too_large', `One call may upsert ${LIMITS.itemsPerUpsert} items.`);
    for (const item of items) encodeItem(item, this.#dim);
    // Chroma refuses a duplicate id in one call; the last item of an id counts.
    const last = [...new Map(items.map((item) => [item.id, item])).values()];
    if (last.length === 0) return;
    await this.#post('upsert', {
      ids: last.map(({ id }) => id),
      embeddings: last.map(({ vector }) => Array.from(vector)),
      metadatas: last.map(toChromaMetadata),
    });
  }

  async get(id: string): Promise<Item | undefined> {
    checkId(id);
    const found = await this.#get({ ids: [id], include: ['metadatas', 'embeddings'] });
    return this.#items(found)[0];
  }

  /** Counting and deleting are two requests: of two concurrent deletes, both may count an id. */
  async delete(ids: readonly string[]): Promise<number> {
    if (ids.length > LIMITS.idsPerDelete)
      throw new Problem('too_large', `One call may delete ${LIMITS.idsPerDelete} items.`);
    for (const id of ids) checkId(id);
    const unique = [...new Set(ids)];
    let deleted = 0;
    for (let from = 0; from < unique.length; from += PAGE_RECORDS) {
      const { ids: found } = await this.#get({ ids: unique.slice(from, from + PAGE_RECORDS), include: [] });
      if (found.length > 0) await this.#post('delete', { ids: found });
      deleted += found.length;
    }
    return deleted;
  }

  async deleteWhere(filter: Filter): Promise<number> {
    checkDeletion(filter);
    const ids = await this.#matching(undefined, filter);
    let deleted = 0;
    for (let from = 0; from < ids.length; from += LIMITS.idsPerDelete)
      deleted += await this.delete(ids.slice(from, from + LIMITS.idsPerDelete));
    return deleted;
  }

  /**
   * Chroma has no order by id, so every page fetches every id that can match, in one request: several would miss
   * items when others are deleted in between.
   */
  async list(options: ListOptions): Promise<Page> {
    checkList(options);
    const { limit, cursor, modality, filter } = options;
    const after = cursor === undefined ? '' : decodeCursor(cursor);
    const all = await this.#matching(modality, filter);
    const ids = all.filter((id) => id > after).sort();
    const page = ids.slice(0, limit);
    const { ids: found, metadatas } = await this.#get({ ids: page, include: ['metadatas'] });
    const items = found
      .flatMap((id, i) => (metadatas?.[i] == null ? [] : [fromChroma(id, metadatas[i])]))
      .sort((a, b) => (a.id < b.id ? -1 : 1));
    return { items, ...(ids.length > limit ? { nextCursor: encodeCursor(page.at(-1) as string) } : {}) };
  }

  async search(vector: Float32Array, options: SearchOptions): Promise<Hit[]> {
    checkVector(vector, this.#dim);
    checkSearch(options);
    const { k, modality, filter } = options;
    const matches = compileFilter(filter ?? {});
    const fetch = (k + OVERSAMPLING_MARGIN) * (filter === undefined ? 1 : 4);
    const proposed = await this.#query(vector, fetch, whereOf(modality, filter));
    const all = rank(vector, this.#items(proposed), () => true);
    const hits = all.filter(({ metadata }) => matches(metadata));
    const [last, lowest] = [hits[k - 1], all.at(-1)];
    // Records that were not proposed may tie with the last one that was.
    if (last !== undefined && lowest !== undefined && last.score > lowest.score) return hits.slice(0, k);
    return (await this.#searchAll(vector, options)).slice(0, k);
  }

  async check(): Promise<void> {
    expectOk(await this.#client.request('POST', `${this.#path}/get`, { limit: 1, include: [] }, CHECK));
  }

  /**
   * Chroma counts whole collections only. So the ids of all modalities but one are counted, and that one, the largest
   * at the last count, is the rest. Concurrent writes may be counted or not.
   */
  async count(): Promise<Counts> {
    const minor = MODALITIES.filter((modality) => modality !== this.#largest);
    const [total, ...counted] = await Promise.all([
      this.#total(),
      ...minor.map(async (modality) => (await this.#matching(modality, undefined)).length),
    ]);
    const rest = Math.max(0, total - counted.reduce((sum, count) => sum + count, 0));
    const counts = forEachModality((modality) => counted[minor.indexOf(modality)] ?? rest);
    this.#largest = MODALITIES.reduce((most, modality) => (counts[modality] > counts[most] ? modality : most));
    return counts;
  }

  async close(): Promise<void> {
    this.#closed = true;
  }

  /** Scores every record that matches, best first. */
  async #searchAll(vector: Float32Array, { modality, filter }: SearchOptions): Promise<Hit[]> {
    const ids = await this.#matching(modality, filter);
    const matches = compileFilter(filter ?? {});
    const hits: Hit[] = [];
    for (let from = 0; from < ids.length; from += PAGE_RECORDS) {
      const page = await this.#get({ ids: ids.slice(from, from + PAGE_RECORDS), include: ['metadatas', 'embeddings'] });
      const items = this.#items(page).filter((item) => (modality ?? item.modality) === item.modality);
      hits.push(...rank(vector, items, matches));
    }
    return hits.sort(byScoreThenId);
  }

  /** The ids of everything that matches, in no order. */
  async #matching(modality: Modality | undefined, filter: Filter | undefined): Promise<string[]> {
    const where = whereOf(modality, filter);
    if (filter === undefined || Object.keys(filter).length === 0) return (await this.#get({ where, include: [] })).ids;
    const matches = compileFilter(filter);
    const { ids, metadatas } = await this.#get({ where, include: ['metadatas'] });
    return ids.filter((id, i) => metadatas?.[i] != null && matches(fromChroma(id, metadatas[i]).metadata));
  }

  async #get(request: { ids?: string[]; where?: object | undefined; include: string[] }): Promise<Records> {
    return (await this.#post('get', request)) as Records;
  }

  async #query(vector: Float32Array, count: number, where: object | undefined): Promise<Records> {
    const include = ['metadatas', 'embeddings'];
    const request = { query_embeddings: [Array.from(vector)], n_results: count, include, where };
    const { ids, metadatas, embeddings } = (await this.#post('query', request)) as {
      ids: string[][];
      metadatas: ChromaMetadata[][];
      embeddings: number[][][];
    };
    return { ids: ids[0] ?? [], metadatas: metadatas[0] ?? [], embeddings: embeddings[0] ?? [] };
  }

  async #total(): Promise<number> {
    return (await this.#request('GET', 'count')) as number;
  }

  #post(verb: string, body: unknown): Promise<unknown> {
    return this.#request('POST', verb, body);
  }

  async #request(method: 'GET' | 'POST', verb: string, body?: unknown): Promise<unknown> {
    if (this.#closed) throw new Problem('shutting_down', 'The index has been closed.');
    return expectOk(await this.#client.request(method, `${this.#path}/${verb}`, body));
  }

  /** Leaves out records without metadata, which Chroma returns while another request deletes or replaces them. */
  #items({ ids, metadatas, embeddings }: Records): Item[] {
    return ids.flatMap((id, i) => {
      const [metadata, embedding] = [metadatas?.[i], embeddings?.[i]];
      if (metadata == null || embedding == null) return [];
      assert(embedding.length === this.#dim, 'a Chroma record of another dimension than its collection');
      return [{ ...fromChroma(id, metadata), vector: Float32Array.from(embedding) }];
    });
  }
}

function rank(vector: Float32Array, items: readonly Item[], matches: Predicate): Hit[] {
  return items
    .filter(({ metadata }) => matches(metadata))
    .map(({ vector: stored, ...info }) => ({ ...info, score: innerProduct(vector, stored, 0) }))
    .sort(byScoreThenId);
}

const byScoreThenId = (a: ItemInfo & { score: number }, b: ItemInfo & { score: number }): number =>
  b.score - a.score || (a.id < b.id ? -1 : 1);

/** @throws Problem when the collection was removed; Error when Chroma refused a request, which is a defect here */
function expectOk({ status, body }: ChromaReply): unknown {
  if (status === NOT_FOUND)
    throw new Problem(
      'store_unavailable',
      'The Chroma collection has been removed. Restart the service to create it anew.',
    );
  assert(status < 300, `Chroma answered ${status}: ${JSON.stringify(body)}`);
  return body;
}
