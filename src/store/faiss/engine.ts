import { Problem } from '../../common/errors.js';
import { nextTurn } from '../../lib/event-loop.js';
import type { Logger } from '../../lib/logger.js';
import { openProblem } from '../disk-errors.js';
import { LIMITS } from '../limits.js';
import type { Counts, Filter } from '../vector-store.js';
import { Approximator } from './ann/index-builder.js';
import { type Lock, lockDir } from './directory-lock.js';
import type { IndexEvents } from './events.js';
import { selectionOf, selects } from './query/compiled-filter.js';
import { Searcher } from './query/query-batcher.js';
import { ensureDir, type Recovered, recover } from './recovery.js';
import type { Collection } from './segment/collection.js';
import { SnapshotScheduler } from './snapshot/scheduler.js';
import { Committer } from './wal/group-commit.js';
import { encodeDelete, isUpsert } from './wal/record.js';
import type { OpenOptions, RawHit, RawItem, RawListOptions, RawPage, RawQuery } from './worker/protocol.js';

export interface EngineOptions extends OpenOptions {
  log: Logger;
  events: IndexEvents;
}

/** Items looked at between two turns of the event loop. */
const LIST_SLICE = 1024;

/**
 * An index, whole: the state in memory, the writer, and the snapshots. It runs in the worker thread, because
 * FAISS blocks the thread that calls it.
 */
export class Engine {
  readonly #lock: Lock;
  readonly #collection: Collection;
  readonly #groupCommit: Committer;
  readonly #batcher: Searcher;
  readonly #indexBuilder: Approximator | undefined;
  readonly #snapshots: SnapshotScheduler;
  readonly #onReleased: IndexEvents['onReleased'];
  readonly #reads = new Set<Promise<unknown>>();

  private constructor({ events, log, ...options }: EngineOptions, lock: Lock, recovered: Recovered) {
    const { collection, generation, baseGeneration, journalBytes } = recovered;
    this.#lock = lock;
    this.#collection = collection;
    this.#onReleased = events.onReleased;
    // Kept files that replaying the write-ahead log released are removed by the sweep that follows every start.
    collection.takeReleased();
    this.#batcher = new Searcher(collection, events.onSearchBatch);
    const { approximation } = options;
    this.#indexBuilder =
      approximation && new Approximator({ ...approximation, collection, log, onApproximation: events.onApproximation });
    this.#groupCommit = new Committer({
      journal: recovered.journal,
      apply: (payload) => this.#apply(payload),
      onCommit: (commit) => {
        events.onCommit?.(commit);
        this.#snapshots.committed(commit.bytes);
      },
    });
    this.#snapshots = new SnapshotScheduler({
      dir: options.dir,
      snapshotBytes: options.snapshotBytes,
      collection,
      groupCommit: this.#groupCommit,
      generation,
      snapshotGeneration: baseGeneration,
      walBytes: journalBytes,
      log,
      onSnapshot: events.onSnapshot,
      onInstalled: (snapshotDir) => this.#indexBuilder?.takeUp(snapshotDir),
    });
    const { currentDir } = this.#snapshots;
    if (currentDir !== undefined) this.#indexBuilder?.takeUp(currentDir);
    this.#snapshots.snapshotIfDue();
  }

  /**
   * Locks the folder and recovers what it holds; a missing folder becomes an empty index.
   * @throws Problem `conflict` (open in another process), `index_model_mismatch`, `disk_full`
   * @throws Error when acknowledged writes cannot be read back
   */
  static async open(options: EngineOptions): Promise<Engine> {
    let lock: Lock | undefined;
    try {
      await ensureDir(options.dir);
      lock = await lockDir(options.dir);
      const startedMs = performance.now();
      const recovered = await recover(options.dir, options.binding, options.log);
      const durationMs = Math.round(performance.now() - startedMs);
      options.log.info({ items: recovered.collection.size, durationMs }, 'index: open');
      return new Engine(options, lock, recovered);
    } catch (error) {
      await lock?.release();
      throw openProblem(error);
    }
  }

  /**
   * @param payload from `encodeUpsert` or `encodeDelete`
   * @returns how many ids its deletes found
   * @throws Problem `too_large`, `disk_full`, `store_unavailable`; the write then did not happen
   */
  async write(payload: Uint8Array): Promise<number> {
    if (this.#collection.size >= LIMITS.items && isUpsert(payload))
      throw new Problem('too_large', `The index holds ${LIMITS.items} items, as many as it can. Delete some first.`);
    return this.#groupCommit.write(payload);
  }

  #apply(payload: Uint8Array): number {
    const deleted = this.#collection.apply(payload);
    const released = this.#collection.takeReleased();
    if (released.length > 0) this.#onReleased?.(released);
    return deleted;
  }

  /** Of each kept file, whether an item refers to it. */
  refersTo(files: readonly string[]): boolean[] {
    return files.map((file) => this.#collection.refersTo(file));
  }

  /** Deletes what matches once every earlier write has been applied; no later write is touched. */
  deleteWhere(filter: Filter): Promise<number> {
    const compiled = selectionOf(filter);
    return this.#groupCommit.writeFromState(async () => {
      const ids: string[] = [];
      for (const segment of Object.values(this.#collection.shards)) {
        const bitmap = segment.matches.refresh(segment, await segment.matches.prepare(segment, compiled));
        for (const [row, id] of segment.ids.entries()) if (id !== undefined && bitmap.has(row)) ids.push(id);
      }
      return ids.length === 0 ? undefined : encodeDelete(ids);
    });
  }

  get(id: string): (RawItem & { vector: Float32Array }) | undefined {
    const found = this.#collection.find(id);
    if (found === undefined) return undefined;
    const bytes = new Uint8Array(found.shard.vector(found.row));
    return { ...found.shard.serialize(found.row), vector: new Float32Array(bytes.buffer) };
  }

  /** Looks at a bounded number of items: a page may be short, and `next` then says where to continue. */
  list(options: RawListOptions): Promise<RawPage> {
    return this.#reading(this.#list(options));
  }

  async #list({ limit, after, modality, filter }: RawListOptions): Promise<RawPage> {
    const compiled = filter === undefined ? undefined : selectionOf(filter);
    const items: RawItem[] = [];
    let looked = 0;
    let last: string | undefined;
    for (const id of this.#collection.sortedIds.after(after, (known) => this.#collection.has(known))) {
      if (items.length === limit || looked === LIMITS.pageScan) return { items, next: last as string };
      looked += 1;
      if (looked % LIST_SLICE === 0) await nextTurn();
      last = id;
      const found = this.#collection.find(id);
      if (found === undefined || (modality !== undefined && found.shard.modality !== modality)) continue;
      if (compiled === undefined || selects(compiled, found.shard.metadata(found.row)))
        items.push(found.shard.serialize(found.row));
    }
    return { items };
  }

  count(): Counts {
    return this.#collection.counts();
  }

  search(query: RawQuery): Promise<RawHit[]> {
    return this.#reading(this.#batcher.ask(query));
  }

  /** Registers a read that yields to the event loop: `close` keeps the files open until it is done. */
  #reading<T>(read: Promise<T>): Promise<T> {
    this.#reads.add(read);
    const done = () => void this.#reads.delete(read);
    read.then(done, done);
    return read;
  }

  /** Takes a snapshot now, whether or not one is due. Resolves when it is done or has failed. */
  snapshot(): Promise<void> {
    return this.#snapshots.snapshot();
  }

  /** Resolves when no snapshot is being taken and every segment is searched by the index it should have. */
  async settled(): Promise<void> {
    await this.#snapshots.idle();
    await this.#indexBuilder?.idle();
  }

  /** Finishes the writes and reads it has received, then closes the files and releases the lock. */
  async close(): Promise<void> {
    await this.#groupCommit.idle();
    await this.#snapshots.idle();
    await this.#indexBuilder?.stop();
    await Promise.allSettled(this.#reads);
    await this.#groupCommit.journal.close();
    this.#collection.close();
    await this.#lock.release();
  }
}
