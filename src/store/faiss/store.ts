import path from 'node:path';
import { Problem } from '../../common/errors.js';
import type { Approximation } from '../../common/index-kind.js';
import { assert } from '../../lib/assert.js';
import type { Logger } from '../../lib/logger.js';
import { decodeCursor, encodeCursor } from '../cursor.js';
import { LIMITS } from '../limits.js';
import { Originals } from '../originals/blob-store.js';
import { splitOriginal } from '../originals/source-ref.js';
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
import type { IndexEvents } from './events.js';
import { layout } from './snapshot/layout.js';
import { encodeDelete, encodeUpsert } from './wal/record.js';
import type { RawItem } from './worker/protocol.js';
import { type Channel, joinThread } from './worker/worker-client.js';

export interface FaissStoreOptions {
  /** Folder of this index alone; created when missing. */
  dir: string;
  binding: ModelBinding;
  logger: Logger;
  events?: IndexEvents;
  /** Journal bytes that call for a snapshot while the index is small. Default: 64 MiB. */
  snapshotBytes?: number;
  /**
   * How to search modalities of at least `minRows` items (default: 10,000) once they are in a
   * snapshot. Default: exactly. The choice can change at every start.
   */
  approximation?: { kind: Approximation; minRows?: number };
  /** Whether what new items are made from is to be kept. What was kept before goes with its item either way. */
  keepOriginals?: boolean;
}

const SNAPSHOT_BYTES = 64 * 1024 * 1024;
const APPROXIMATION_MIN_ROWS = 10_000;

/**
 * Opens the embedded store: exact search by FAISS in a thread, every acknowledged write in a
 * synced journal.
 *
 * What an item of `dim` numbers takes:
 *   memory  4 x dim bytes in FAISS (an approximation changes that), about 150 for its id on the
 *           heap of the index thread, 8 for where its line starts, 2 (or 8) for each metadata
 *           field that filters find there (see columns.ts); until the next snapshot also its vector and metadata once more, outside the heap
 *   disk    4 x dim bytes and its metadata in each of two snapshots and once in the journals
 * Vectors to be returned or scored again, and metadata, are read from the snapshot's files, that
 * is from the page cache while there is room.
 *
 * @throws Problem `index_model_mismatch` (another model's vectors), `conflict` (open elsewhere)
 * @throws Error when what was acknowledged cannot be read back
 */
export async function openFaissStore(options: FaissStoreOptions): Promise<FaissStore> {
  const { binding, logger, events = {}, snapshotBytes = SNAPSHOT_BYTES } = options;
  assert(Number.isInteger(binding.dim) && binding.dim >= 1 && binding.dim <= LIMITS.dim, `dimension ${binding.dim}`);
  const dir = path.resolve(options.dir);
  const originals = new Originals(layout(dir).originals, {
    refersTo: (files) => channel.call('refersTo', files),
    logger,
  });
  const channel = joinThread({ logger, events: { ...events, onReleased: (files) => originals.release(files) } });
  try {
    const approximation = options.approximation && { minRows: APPROXIMATION_MIN_ROWS, ...options.approximation };
    await channel.call('open', { dir, binding, snapshotBytes, approximation });
    await originals.open();
  } catch (error) {
    await channel.leave();
    throw error;
  }
  return new FaissStore(channel, binding.dim, originals, options.keepOriginals ?? false);
}

/** The service's side of the index thread: checks what goes in, and asks. */
export class FaissStore implements VectorStore {
  readonly #channel: Channel;
  readonly #dim: number;
  readonly #originals: Originals;
  readonly #keepsOriginals: boolean;
  #writingBytes = 0;
  #closed: Promise<void> | undefined;

  constructor(channel: Channel, dim: number, originals: Originals, keepsOriginals: boolean) {
    this.#channel = channel;
    this.#dim = dim;
    this.#originals = originals;
    this.#keepsOriginals = keepsOriginals;
  }

  get originals(): Originals | undefined {
    return this.#keepsOriginals ? this.#originals : undefined;
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
    return this.#channel.call('deleteWhere', filter);
  }

  async get(id: string): Promise<Item | undefined> {
    this.#assertOpen();
    checkId(id);
    const found = await this.#channel.call('get', id);
    return found === undefined ? undefined : { ...toInfo(found), vector: found.vector };
  }

  async list(options: ListOptions): Promise<Page> {
    this.#assertOpen();
    checkList(options);
    const { limit, cursor, modality, filter } = options;
    const after = cursor === undefined ? undefined : decodeCursor(cursor);
    const { items, next } = await this.#channel.call('list', { limit, after, modality, filter });
    return { items: items.map(toInfo), ...(next === undefined ? {} : { nextCursor: encodeCursor(next) }) };
  }

  async search(vector: Float32Array, options: SearchOptions): Promise<Hit[]> {
    this.#assertOpen();
    checkVector(vector, this.#dim);
    checkSearch(options);
    const { k, modality, filter } = options;
    const hits = await this.#channel.call('search', { vector, k, modality, filter });
    return hits.map((hit) => ({ ...toInfo(hit), score: hit.score }));
  }

  async count(): Promise<Counts> {
    this.#assertOpen();
    return this.#channel.call('count', undefined);
  }

  /** Writes a snapshot now, so that the next start need not replay the journal. */
  async snapshot(): Promise<void> {
    this.#assertOpen();
    await this.#channel.call('snapshot', undefined);
  }

  /** Resolves when the snapshot and the approximate indexes under way are in use. */
  async settled(): Promise<void> {
    this.#assertOpen();
    await this.#channel.call('settled', undefined);
  }

  /** Finishes the writes under way, then lets the folder go. Further calls are refused. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    try {
      await this.#originals.close();
      await this.#channel.call('close', undefined);
    } finally {
      await this.#channel.leave();
    }
  }

  async #write(payload: Uint8Array<ArrayBuffer>): Promise<number> {
    this.#assertOpen();
    const bytes = payload.length;
    if (this.#writingBytes + bytes > LIMITS.pendingWriteBytes)
      throw new Problem('overloaded', 'The index has too many writes waiting. Try again shortly.');
    this.#writingBytes += bytes;
    try {
      return await this.#channel.call('write', payload, [payload.buffer]);
    } finally {
      this.#writingBytes -= bytes;
    }
  }

  #assertOpen(): void {
    if (this.#closed !== undefined) throw new Problem('shutting_down', 'The index has been closed.');
  }
}

const toInfo = ({ id, modality, metadata }: RawItem): ItemInfo => ({ id, modality, ...splitOriginal(metadata) });
