import { mkdir } from 'node:fs/promises';
import { Problem } from '../../common/errors.js';
import { yieldToEventLoop } from '../../lib/async/event-loop.js';
import { type DirectoryLock, lockDirectory } from '../../lib/directory-lock.js';
import type { Logger } from '../../lib/log/logger.js';
import { openProblem, readProblem, writeProblem } from '../disk-errors.js';
import type { IndexEvents } from '../events.js';
import { LIMITS } from '../limits.js';
import type { BackupFile, Counts, Filter } from '../vector-store.js';
import { IndexBuilder } from './ann/index-builder.js';
import { excludeOldHolders } from './old-lock.js';
import { selects, toCompiledFilter } from './query/compiled-filter.js';
import { QueryBatcher } from './query/query-batcher.js';
import { type Recovered, recover } from './recovery.js';
import type { Collection } from './segment/collection.js';
import { SnapshotScheduler } from './snapshot/scheduler.js';
import { GroupCommit } from './wal/group-commit.js';
import { encodeDelete, isUpsert } from './wal/record.js';
import type {
  EngineListOptions,
  EngineQuery,
  OpenOptions,
  SerializedHit,
  SerializedItem,
  SerializedPage,
} from './worker/protocol.js';

export interface EngineOptions extends OpenOptions {
  log: Logger;
  events: IndexEvents;
}

/** Items that `list` examines between two turns of the event loop. */
const LIST_SLICE = 1024;

/**
 * An index, whole: the state in memory, the writer, and the snapshots. It runs in the worker thread, because
 * FAISS blocks the thread that calls it.
 */
export class Engine {
  readonly #lock: DirectoryLock;
  readonly #collection: Collection;
  readonly #groupCommit: GroupCommit;
  readonly #batcher: QueryBatcher;
  readonly #indexBuilder: IndexBuilder | undefined;
  readonly #snapshots: SnapshotScheduler;
  readonly #onReleased: IndexEvents['onReleased'];
  readonly #reads = new Set<Promise<unknown>>();

  private constructor({ events, log, ...options }: EngineOptions, lock: DirectoryLock, recovered: Recovered) {
    const { collection, generation, snapshotGeneration, snapshotAtMs, walBytes } = recovered;
    this.#lock = lock;
    this.#collection = collection;
    this.#onReleased = events.onReleased;
    // Kept files that replaying the write-ahead log released are removed by the sweep that follows every start.
    collection.takeReleased();
    this.#batcher = new QueryBatcher(collection, events.onSearchBatch);
    const { approximateIndex } = options;
    this.#indexBuilder =
      approximateIndex &&
      new IndexBuilder({ ...approximateIndex, collection, log, onIndexInstalled: events.onIndexInstalled });
    this.#groupCommit = new GroupCommit({
      wal: recovered.wal,
      fence: () => lock.assertHeld(),
      renewWal: () => this.#snapshots.rotateWal(),
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
      snapshotGeneration,
      snapshotAtMs,
      walBytes,
      fence: () => lock.assertHeld(),
      log,
      onJournal: events.onJournal,
      onSnapshot: events.onSnapshot,
      onInstalled: (snapshotDir) => this.#indexBuilder?.build(snapshotDir),
    });
    const { currentDir } = this.#snapshots;
    if (currentDir !== undefined) this.#indexBuilder?.build(currentDir);
    this.#snapshots.snapshotIfDue();
  }

  /**
   * Locks the folder and recovers what it holds; a missing folder becomes an empty index.
   * @param lockDir excludes other processes
   * @throws Problem `conflict` (open in another process), `index_model_mismatch`, `disk_full`
   * @throws Error when acknowledged writes cannot be read back
   */
  static async open(
    options: EngineOptions,
    lockDir: (dir: string) => Promise<DirectoryLock> = lockDirectory,
  ): Promise<Engine> {
    let lock: DirectoryLock | undefined;
    try {
      await mkdir(options.dir, { recursive: true });
      lock = await lockDir(options.dir);
      await excludeOldHolders(options.dir);
      const startedMs = performance.now();
      const recovered = await recover(options.dir, options.binding, options.log, options.events.onReplay);
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

  /**
   * Of each kept file, whether an item refers to it. Who asks deletes the others: never files that belong to another
   * process by now.
   */
  async refersTo(files: readonly string[]): Promise<boolean[]> {
    await this.#lock.assertHeld();
    return files.map((file) => this.#collection.refersTo(file));
  }

  /** Deletes what matches once every earlier write has been applied; no later write is touched. */
  deleteWhere(filter: Filter): Promise<number> {
    const compiled = toCompiledFilter(filter);
    const write = this.#groupCommit.writeFromState(async () => {
      const ids: string[] = [];
      for (const segment of Object.values(this.#collection.segments)) {
        const bitmap = segment.filterBitmaps.refresh(segment, await segment.filterBitmaps.prepare(segment, compiled));
        for (const [row, id] of segment.ids.entries()) if (id !== undefined && bitmap.has(row)) ids.push(id);
      }
      return ids.length === 0 ? undefined : encodeDelete(ids);
    });
    return this.#reading(write);
  }

  get(id: string): (SerializedItem & { vector: Float32Array }) | undefined {
    const found = this.#collection.find(id);
    if (found === undefined) return undefined;
    try {
      const bytes = new Uint8Array(found.segment.vector(found.row));
      return { ...found.segment.serialize(found.row), vector: new Float32Array(bytes.buffer) };
    } catch (error) {
      throw readProblem(error);
    }
  }

  /** Examines a bounded number of items: a page may be short, and `next` then says where to continue. */
  list(options: EngineListOptions): Promise<SerializedPage> {
    return this.#reading(this.#list(options));
  }

  async #list({ limit, after, modality, filter }: EngineListOptions): Promise<SerializedPage> {
    const compiled = filter === undefined ? undefined : toCompiledFilter(filter);
    const items: SerializedItem[] = [];
    let examined = 0;
    let last: string | undefined;
    for (const id of this.#collection.sortedIds.after(after, (known) => this.#collection.has(known))) {
      if (items.length === limit || examined === LIMITS.pageScan) return { items, next: last as string };
      examined += 1;
      if (examined % LIST_SLICE === 0) await yieldToEventLoop();
      last = id;
      const found = this.#collection.find(id);
      if (found === undefined || (modality !== undefined && found.segment.modality !== modality)) continue;
      if (compiled === undefined || selects(compiled, found.segment.metadata(found.row)))
        items.push(found.segment.serialize(found.row));
    }
    return { items };
  }

  /** @throws Problem `store_unavailable` when this process may no longer write */
  check(): Promise<void> {
    return this.#lock.assertHeld();
  }

  count(): Counts {
    return this.#collection.counts();
  }

  search(query: EngineQuery): Promise<SerializedHit[]> {
    return this.#reading(this.#batcher.search(query));
  }

  /**
   * Registers work that yields to the event loop: `close` keeps the files open until it is done.
   * @throws Problem `store_unavailable` where the disk cannot be read
   */
  async #reading<T>(read: Promise<T>): Promise<T> {
    this.#reads.add(read);
    try {
      return await read;
    } catch (error) {
      throw readProblem(error);
    } finally {
      this.#reads.delete(read);
    }
  }

  /** Takes a snapshot now, whether or not one is due. Resolves when it is done or has failed. */
  snapshot(): Promise<void> {
    return this.#snapshots.snapshot();
  }

  /**
   * Puts a copy of the index, without kept files, into a folder.
   * @throws Problem `disk_full`, `store_unavailable`
   */
  async backUp(to: string): Promise<BackupFile[]> {
    try {
      return await this.#snapshots.backUp(to);
    } catch (error) {
      throw writeProblem(error);
    }
  }

  /** Resolves when no snapshot is being taken and every segment is searched by the index it should have. */
  async idle(): Promise<void> {
    await this.#snapshots.idle();
    await this.#indexBuilder?.idle();
  }

  /** Finishes the writes and reads it has received, then closes the files and releases the lock. */
  async close(): Promise<void> {
    await this.#groupCommit.idle();
    await this.#snapshots.stop();
    await this.#indexBuilder?.stop();
    await Promise.allSettled(this.#reads);
    try {
      await this.#groupCommit.wal.close();
      this.#collection.close();
    } finally {
      await this.#lock.release();
    }
  }
}
