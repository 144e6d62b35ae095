import { readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { Problem } from '../../common/errors.js';
import type { Modality } from '../../common/modality.js';
import { nextTurn } from '../../lib/event-loop.js';
import { openProblem, syncDir } from '../../lib/fs.js';
import { compileFilter } from '../filter.js';
import { LIMITS } from '../limits.js';
import type { Counts, Filter, Metadata, ModelBinding } from '../vector-store.js';
import { Approximator } from './ann/index-builder.js';
import type { Approximation } from './ann/index-kind.js';
import { type Lock, lockDir } from './directory-lock.js';
import type { IndexEvents, Logger } from './events.js';
import { selectionOf } from './query/compiled-filter.js';
import { type RawHit, type RawQuery, Searcher } from './query/query-batcher.js';
import { ensureDir, type Recovered, recover } from './recovery.js';
import type { Collection } from './segment/collection.js';
import { layout, parseName } from './snapshot/layout.js';
import { writeSnapshot } from './snapshot/writer.js';
import { Committer } from './wal/group-commit.js';
import { encodeDelete, isUpsert } from './wal/record.js';
import { Journal } from './wal/wal.js';
import { type RawItem, rawItem } from './worker/raw.js';

export interface RawListOptions {
  limit: number;
  after?: string | undefined;
  modality?: Modality | undefined;
  filter?: Filter | undefined;
}

export interface EngineOptions {
  dir: string;
  binding: ModelBinding;
  log: Logger;
  events: IndexEvents;
  /** Journal bytes that call for a snapshot, as long as the index is smaller than twice that. */
  snapshotBytes: number;
  /** How to search shards of at least `minRows`; exactly, where it is absent. */
  approximation?: { kind: Approximation; minRows: number } | undefined;
}

export interface RawPage {
  items: RawItem[];
  /** The last id looked at, where there is more. */
  next?: string;
}

/** Items looked at between two turns of the event loop. */
const LIST_SLICE = 1024;
/** Dead rows that call for a snapshot, together with a quarter of a shard. */
const DEAD_ROWS_MIN = 4096;

/**
 * An index, whole: the state in memory, the writer, and the snapshots. It lives in the index
 * thread, because FAISS blocks the thread that calls it.
 */
export class Engine {
  readonly #options: EngineOptions;
  readonly #lock: Lock;
  readonly #collection: Collection;
  readonly #committer: Committer;
  readonly #searcher: Searcher;
  readonly #approximator: Approximator | undefined;
  #generation: number;
  #baseGeneration: number;
  /** Journal bytes that no snapshot holds yet. */
  #journalBytes: number;
  /** After a failed snapshot: not before there are this many. */
  #retryBytes = 0;
  #snapshot: Promise<void> | undefined;
  readonly #reads = new Set<Promise<unknown>>();

  private constructor(options: EngineOptions, lock: Lock, recovered: Recovered) {
    this.#options = options;
    this.#lock = lock;
    this.#collection = recovered.collection;
    // What the journal released is found by whoever sweeps the kept files.
    this.#collection.takeReleased();
    this.#generation = recovered.generation;
    this.#baseGeneration = recovered.baseGeneration;
    this.#journalBytes = recovered.journalBytes;
    this.#searcher = new Searcher(recovered.collection, options.events.onSearchBatch);
    this.#approximator =
      options.approximation &&
      new Approximator({
        ...options.approximation,
        collection: recovered.collection,
        log: options.log,
        onApproximation: options.events.onApproximation,
      });
    this.#committer = new Committer({
      journal: recovered.journal,
      apply: (payload) => this.#apply(payload),
      onCommit: (commit) => {
        this.#journalBytes += commit.bytes;
        options.events.onCommit?.(commit);
        this.#snapshotIfDue();
      },
    });
  }

  static async open(options: EngineOptions): Promise<Engine> {
    let lock: Lock | undefined;
    try {
      await ensureDir(options.dir);
      lock = await lockDir(options.dir);
      const startedMs = performance.now();
      const recovered = await recover(options.dir, options.binding, options.log);
      const durationMs = Math.round(performance.now() - startedMs);
      options.log.info({ items: recovered.collection.size, durationMs }, 'index: open');
      const engine = new Engine(options, lock, recovered);
      engine.#approximate();
      engine.#snapshotIfDue();
      return engine;
    } catch (error) {
      await lock?.release();
      throw openProblem(error);
    }
  }

  /** @param payload from `encodeUpsert` or `encodeDelete` @returns how many ids its deletes found */
  async write(payload: Uint8Array): Promise<number> {
    if (this.#collection.size >= LIMITS.items && isUpsert(payload))
      throw new Problem('too_large', `The index holds ${LIMITS.items} items, as many as it can. Delete some first.`);
    return this.#committer.write(payload);
  }

  #apply(payload: Uint8Array): number {
    const deleted = this.#collection.apply(payload);
    const released = this.#collection.takeReleased();
    if (released.length > 0) this.#options.events.onReleased?.(released);
    return deleted;
  }

  /** Of each kept file, whether an item refers to it. */
  refersTo(files: readonly string[]): boolean[] {
    return files.map((file) => this.#collection.refersTo(file));
  }

  /** Deletes what matches when every write before it has been applied; no later write is touched. */
  deleteWhere(filter: Filter): Promise<number> {
    const selection = selectionOf(filter);
    return this.#committer.writeFromState(async () => {
      const ids: string[] = [];
      for (const shard of Object.values(this.#collection.shards)) {
        const matches = shard.matches.refresh(shard, await shard.matches.prepare(shard, selection));
        for (const [row, id] of shard.ids.entries()) if (id !== undefined && matches.has(row)) ids.push(id);
      }
      return ids.length === 0 ? undefined : encodeDelete(ids);
    });
  }

  get(id: string): (RawItem & { vector: Float32Array }) | undefined {
    const place = this.#collection.find(id);
    if (place === undefined) return undefined;
    const bytes = new Uint8Array(place.shard.vector(place.row));
    return { ...rawItem(id, place), vector: new Float32Array(bytes.buffer) };
  }

  /** Looks at a bounded number of items: a page may be short, and `next` then tells where to go on. */
  list(options: RawListOptions): Promise<RawPage> {
    return this.#reading(this.#list(options));
  }

  async #list({ limit, after, modality, filter }: RawListOptions): Promise<RawPage> {
    const matches = filter === undefined ? undefined : compileFilter(filter);
    const items: RawItem[] = [];
    let looked = 0;
    let last: string | undefined;
    for (const id of this.#collection.sortedIds.after(after, (known) => this.#collection.has(known))) {
      if (items.length === limit || looked === LIMITS.pageScan) return { items, next: last as string };
      looked += 1;
      if (looked % LIST_SLICE === 0) await nextTurn();
      last = id;
      const place = this.#collection.find(id);
      if (place === undefined || (modality !== undefined && place.shard.modality !== modality)) continue;
      const item = rawItem(id, place);
      if (matches === undefined || matches(JSON.parse(item.metadata) as Metadata)) items.push(item);
    }
    return { items };
  }

  count(): Counts {
    return this.#collection.counts();
  }

  search(query: RawQuery): Promise<RawHit[]> {
    return this.#reading(this.#searcher.ask(query));
  }

  /** Counts a read that takes several turns: the files stay open until it is done. */
  #reading<T>(read: Promise<T>): Promise<T> {
    this.#reads.add(read);
    const done = () => void this.#reads.delete(read);
    read.then(done, done);
    return read;
  }

  /** Finishes what was handed over, then lets the folder go. */
  async close(): Promise<void> {
    await this.#committer.idle();
    await this.#snapshot;
    await this.#approximator?.stop();
    await Promise.allSettled(this.#reads);
    await this.#committer.journal.close();
    this.#collection.close();
    await this.#lock.release();
  }

  /** A snapshot now, whether or not one is due. Resolves when it is done or has failed. */
  async snapshot(): Promise<void> {
    // Others may wait for the same one: after it, only the first of them goes on at once.
    while (this.#snapshot !== undefined) await this.#snapshot;
    this.#snapshot = this.#takeSnapshot().finally(() => {
      this.#snapshot = undefined;
    });
    await this.#snapshot;
  }

  /** Resolves when every shard is searched the way it should be. */
  async settled(): Promise<void> {
    await this.#snapshot;
    await this.#approximator?.idle();
  }

  #approximate(): void {
    if (this.#baseGeneration > 0) this.#approximator?.takeUp(layout(this.#options.dir).snapshot(this.#baseGeneration));
  }

  #snapshotIfDue(): void {
    if (this.#snapshot !== undefined || this.#journalBytes < this.#retryBytes) return;
    const shards = Object.values(this.#collection.shards);
    const storedBytes = this.#collection.size * 4 * this.#collection.dim;
    const grown = this.#journalBytes > Math.max(this.#options.snapshotBytes, storedBytes / 2);
    const withered = shards.some(({ dead, ids }) => dead > DEAD_ROWS_MIN && dead > ids.length / 4);
    if (grown || withered) void this.snapshot();
  }

  /** Starts a new journal, writes what was before it as a snapshot, and serves from that. */
  async #takeSnapshot(): Promise<void> {
    const { dir, log, events } = this.#options;
    const startedMs = performance.now();
    const items = this.#collection.size;
    try {
      const { frozen, coveredBytes } = await this.#committer.paused(async () => {
        await this.#rotateJournal();
        const lastSequence = this.#committer.journal.end.sequence;
        return { frozen: this.#collection.freeze(lastSequence), coveredBytes: this.#journalBytes };
      });
      const generation = this.#generation;
      const bases = await writeSnapshot(layout(dir).snapshot(generation), frozen);
      await this.#collection.adopt(frozen, bases);
      await this.#removeBefore(this.#baseGeneration, generation);
      this.#baseGeneration = generation;
      this.#journalBytes -= coveredBytes;
      this.#retryBytes = 0;
      this.#approximate();
      const durationMs = performance.now() - startedMs;
      events.onSnapshot?.({ ok: true, items, durationMs });
      log.info({ items, generation, durationMs: Math.round(durationMs) }, 'index: snapshot written');
    } catch (error) {
      this.#retryBytes = this.#journalBytes + this.#options.snapshotBytes;
      events.onSnapshot?.({ ok: false, items, durationMs: performance.now() - startedMs });
      log.error({ err: error }, 'index: a snapshot could not be written; the journal goes on and nothing is lost');
    }
  }

  async #rotateJournal(): Promise<void> {
    const { dir } = this.#options;
    const old = this.#committer.journal;
    const next = await createJournal(dir, this.#generation + 1, old.end.sequence);
    this.#committer.journal = next;
    this.#generation += 1;
    await old.close();
  }

  /** Keeps the snapshot before the newest, and the journals since, to fall back to. */
  async #removeBefore(previous: number, newest: number): Promise<void> {
    const { dir } = this.#options;
    for (const name of await readdir(dir)) {
      const generation = parseName(name)?.generation;
      if (generation === undefined || generation >= newest) continue;
      const isSpare = parseName(name)?.kind === 'snapshot' ? generation === previous : generation >= previous;
      if (!isSpare) await rm(path.join(dir, name), { recursive: true, force: true });
    }
  }
}

/** Leaves no file behind when it fails: a newer journal says that the one before it is complete. */
async function createJournal(dir: string, generation: number, lastSequence: number): Promise<Journal> {
  const file = layout(dir).journal(generation);
  try {
    const journal = await Journal.create(file, lastSequence);
    await syncDir(dir);
    return journal;
  } catch (error) {
    await rm(file, { force: true });
    throw error;
  }
}
