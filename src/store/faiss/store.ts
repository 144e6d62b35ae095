import path from 'node:path';
import { Problem } from '../../common/errors.js';
import type { IndexKind } from '../../common/index-kind.js';
import { assert } from '../../lib/assert.js';
import type { Logger } from '../../lib/log/logger.js';
import { decodeCursor, encodeCursor } from '../cursor.js';
import { openProblem } from '../disk-errors.js';
import type { IndexEvents } from '../events.js';
import { LIMITS } from '../limits.js';
import { BlobStore } from '../originals/blob-store.js';
import { splitOriginal } from '../originals/source-ref.js';
import { checkDeletion, checkId, checkList, checkSearch, checkVector, encodeItem } from '../validate.js';
import type {
  BackupFile,
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
import { layout } from './snapshot/layout.js';
import { encodeDelete, encodeUpsert } from './wal/record.js';
import type { SerializedItem } from './worker/protocol.js';
import { connectWorker, type IndexClient } from './worker/worker-client.js';

export interface FaissStoreOptions {
  /** Folder of this index alone; created when missing. */
  dir: string;
  binding: ModelBinding;
  logger: Logger;
  events?: IndexEvents;
  /** Write-ahead log bytes that call for a snapshot while the index is small. Default: 64 MiB. */
  snapshotBytes?: number;
  /**
   * How to search modalities of at least `minRows` items (default: 10,000) once they are in a
   * snapshot. Default: exactly. The choice can change at every start.
   */
  approximateIndex?: { kind: IndexKind; minRows?: number };
  /** Whether the originals of new items are kept. Originals kept before are deleted with their items either way. */
  keepOriginals?: boolean;
}

const SNAPSHOT_BYTES = 64 * 1024 * 1024;
const APPROXIMATION_MIN_ROWS = 10_000;

/**
 * Opens the embedded store: FAISS in a worker thread, every acknowledged write in a synced write-ahead log.
 *
 * What an item of `dim` numbers takes:
 *   memory  4 x dim bytes in FAISS (other kinds of index take less or more), about 150 for its id on the heap of
 *           the worker, 8 for the start of its metadata line, 2 (or 8) for each metadata field in the payload
 *           index; until the next snapshot also its vector and metadata once more, outside the heap
 *   disk    4 x dim bytes and its metadata in each of two snapshots and once in the write-ahead logs
 * Metadata, and vectors to be returned or scored again, are read from the snapshot's files, which is from the page
 * cache while there is room.
 *
 * @throws Problem `index_model_mismatch` (another model's vectors), `conflict` (open elsewhere), `disk_full`,
 *   `store_unavailable`
 * @throws Error when acknowledged writes cannot be read back
 */
export async function openFaissStore(options: FaissStoreOptions): Promise<FaissStore> {
  const { binding, logger, events = {}, snapshotBytes = SNAPSHOT_BYTES } = options;
  assert(Number.isInteger(binding.dim) && binding.dim >= 1 && binding.dim <= LIMITS.dim, `dimension ${binding.dim}`);
  const dir = path.resolve(options.dir);
  const originals = new BlobStore(layout(dir).originals, {
    refersTo: (files) => client.call('refersTo', files),
    logger,
  });
  const client = connectWorker({ logger, events: { ...events, onReleased: (files) => originals.release(files) } });
  try {
    const approximateIndex = options.approximateIndex && {
      minRows: APPROXIMATION_MIN_ROWS,
      ...options.approximateIndex,
    };
    await client.call('open', { dir, binding, snapshotBytes, approximateIndex });
  } catch (error) {
    await client.disconnect();
    throw error;
  }
  const store = new FaissStore(client, binding.dim, originals, options.keepOriginals ?? false);
  try {
    await originals.open();
    return store;
  } catch (error) {
    await store.close();
    throw openProblem(error);
  }
}

/** The service's side of the index worker: validates requests, and sends them. */
export class FaissStore implements VectorStore {
  readonly #client: IndexClient;
  readonly #dim: number;
  readonly #originals: BlobStore;
  readonly #keepOriginals: boolean;
  #writingBytes = 0;
  #closed: Promise<void> | undefined;

  constructor(client: IndexClient, dim: number, originals: BlobStore, keepsOriginals: boolean) {
    this.#client = client;
    this.#dim = dim;
    this.#originals = originals;
    this.#keepOriginals = keepsOriginals;
  }

  get originals(): BlobStore | undefined {
    return this.#keepOriginals ? this.#originals : undefined;
  }

  async upsert(items: readonly Item[]): Promise<void> {
    if (items.length > LIMITS.itemsPerUpsert)
      throw new Problem('too_large', `One call may upsert ${LIMITS.itemsPerUpsert} items.`);
    if (items.length === 0) return;
    await this.#write(encodeUpsert(items.map((item) => encodeItem(item, this.#dim))));
  }

  async delete(ids: readonly string[]): Promise<number> {
    if (ids.length > LIMITS.idsPerDelete)
      throw new Problem('too_large', `One call may delete ${LIMITS.idsPerDelete} items.`);
    if (ids.length === 0) return 0;
    for (const id of ids) checkId(id);
    return this.#write(encodeDelete(ids));
  }

  async deleteWhere(filter: Filter): Promise<number> {
    this.#assertOpen();
    checkDeletion(filter);
    return this.#client.call('deleteWhere', filter);
  }

  async get(id: string): Promise<Item | undefined> {
    this.#assertOpen();
    checkId(id);
    const found = await this.#client.call('get', id);
    return found === undefined ? undefined : { ...toInfo(found), vector: found.vector };
  }

  async list(options: ListOptions): Promise<Page> {
    this.#assertOpen();
    checkList(options);
    const { limit, cursor, modality, filter } = options;
    const after = cursor === undefined ? undefined : decodeCursor(cursor);
    const { items, next } = await this.#client.call('list', { limit, after, modality, filter });
    return { items: items.map(toInfo), ...(next === undefined ? {} : { nextCursor: encodeCursor(next) }) };
  }

  async search(vector: Float32Array, options: SearchOptions): Promise<Hit[]> {
    this.#assertOpen();
    checkVector(vector, this.#dim);
    checkSearch(options);
    const { k, modality, filter } = options;
    const hits = await this.#client.call('search', { vector, k, modality, filter });
    return hits.map((hit) => ({ ...toInfo(hit), score: hit.score }));
  }

  async check(): Promise<void> {
    this.#assertOpen();
    await this.#client.call('check', undefined);
  }

  async count(): Promise<Counts> {
    this.#assertOpen();
    return this.#client.call('count', undefined);
  }

  async snapshot(): Promise<void> {
    this.#assertOpen();
    await this.#client.call('snapshot', undefined);
  }

  async backUp(to: string): Promise<BackupFile[]> {
    this.#assertOpen();
    return this.#originals.whileNoneIsDeleted(async () => {
      const files = await this.#client.call('backUp', to);
      const originals = await this.#originals.copyAll(layout(to).originals);
      return [...files, ...originals.map((file) => ({ ...file, file: `originals/${file.file}` }))];
    });
  }

  /** Resolves when the snapshot and the approximate indexes in progress are in use. */
  async idle(): Promise<void> {
    this.#assertOpen();
    await this.#client.call('idle', undefined);
  }

  /** Finishes the writes in progress, then unlocks the folder. Later calls are refused. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    try {
      await this.#originals.close();
      await this.#client.call('close', undefined);
    } finally {
      await this.#client.disconnect();
    }
  }

  async #write(payload: Uint8Array<ArrayBuffer>): Promise<number> {
    this.#assertOpen();
    const bytes = payload.length;
    if (this.#writingBytes + bytes > LIMITS.pendingWriteBytes)
      throw new Problem('overloaded', 'The index has too many writes waiting. Try again shortly.');
    this.#writingBytes += bytes;
    try {
      return await this.#client.call('write', payload, [payload.buffer]);
    } finally {
      this.#writingBytes -= bytes;
    }
  }

  #assertOpen(): void {
    if (this.#closed !== undefined) throw new Problem('shutting_down', 'The index has been closed.');
  }
}

const toInfo = ({ id, modality, metadata }: SerializedItem): ItemInfo => ({ id, modality, ...splitOriginal(metadata) });
