import { Problem } from '../../common/errors.js';
import { isModality, type Modality } from '../../common/modality.js';
import type { Item, Metadata, ModelBinding } from '../vector-store.js';
import { ChromaClient, type ChromaReply } from './client.js';
import { fromChroma, isOurs } from './record.js';

export interface ChromaCollectionOptions {
  /** URL of the server, such as `http://localhost:8000`. */
  url: string;
  collection: string;
  tenant?: string;
  database?: string;
}

export interface ReadOptions {
  /** Metadata field with the modality of an item; items without a known one there get `modality`. */
  modalityField: string;
  modality: Modality;
  /** Scales a vector to norm 1. @throws Problem where that is impossible */
  toUnitVector: (embedding: readonly number[]) => Float32Array;
}

interface Page {
  ids: string[];
  embeddings: (number[] | null)[] | null;
  metadatas: (Metadata | null)[] | null;
  documents: (string | null)[] | null;
}

const PAGE_RECORDS = 500;
const TIMEOUT_MS = 60_000;
const RETRIES = 3;

/** A collection that another service may have filled, to be read from beginning to end. */
export class ChromaCollection {
  private constructor(
    private readonly client: ChromaClient,
    private readonly path: string,
    /** Length of its vectors; undefined while it is empty. */
    readonly dimension: number | undefined,
    /** The model of its vectors, where this service created the collection. */
    readonly binding: Partial<ModelBinding>,
  ) {}

  /** @throws Problem `not_found`, `store_unavailable` */
  static async open({
    url,
    collection,
    tenant = 'default_tenant',
    database = 'default_database',
  }: ChromaCollectionOptions) {
    const client = new ChromaClient({ url: url.replace(/\/$/, ''), timeoutMs: TIMEOUT_MS, retries: RETRIES });
    const names = [tenant, database, collection].map(encodeURIComponent);
    const collections = `/tenants/${names[0]}/databases/${names[1]}/collections`;
    const found = bodyOf(await client.request('GET', `${collections}/${names[2]}`)) as {
      id: string;
      dimension: number | null;
      metadata: Partial<ModelBinding> | null;
    };
    const { model, revision, dim } = found.metadata ?? {};
    const binding = model === undefined || revision === undefined || dim === undefined ? {} : { model, revision, dim };
    return new ChromaCollection(client, `${collections}/${found.id}`, found.dimension ?? undefined, binding);
  }

  async count(): Promise<number> {
    return bodyOf(await this.client.request('GET', `${this.path}/count`)) as number;
  }

  /**
   * Every record as an item, a page at a time. Records added or deleted in the meantime may be included or not.
   * @throws Problem that names the record, when its vector cannot be stored
   */
  async *items(options: ReadOptions): AsyncGenerator<Item> {
    const include = ['embeddings', 'metadatas', 'documents'];
    for (let offset = 0; ; offset += PAGE_RECORDS) {
      const request = { include, limit: PAGE_RECORDS, offset };
      const page = bodyOf(await this.client.request('POST', `${this.path}/get`, request)) as Page;
      for (let i = 0; i < page.ids.length; i++) yield toItem(page, i, options);
      if (page.ids.length < PAGE_RECORDS) return;
    }
  }
}

function toItem(page: Page, i: number, { modalityField, modality, toUnitVector }: ReadOptions): Item {
  const id = page.ids[i] as string;
  const metadata = page.metadatas?.[i] ?? {};
  try {
    const vector = toUnitVector(page.embeddings?.[i] ?? []);
    if (isOurs(metadata)) return { ...fromChroma(id, metadata), vector };
    const document = page.documents?.[i];
    const stated = metadata[modalityField];
    return {
      id,
      modality: isModality(stated) ? stated : modality,
      metadata: { ...(document == null ? {} : { text: document }), ...metadata },
      vector,
    };
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    throw new Problem(error.code, `The record ${JSON.stringify(id)}: ${error.detail}`, { id });
  }
}

const NOT_FOUND = 404;

function bodyOf({ status, body }: ChromaReply): unknown {
  if (status === NOT_FOUND) throw new Problem('not_found', 'The Chroma server has no such collection.');
  if (status >= 300) throw new Problem('invalid_request', `Chroma answered ${status}: ${JSON.stringify(body)}`);
  return body;
}
