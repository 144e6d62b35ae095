import type { Problem } from '../common/errors.js';
import type { CallContext } from '../embedding/call-context.js';
import type { NewItem } from '../items/new-item.js';
import type { PutOptions } from '../items/put-items.js';
import type { Logger } from '../lib/log/logger.js';
import type { ServedModel } from '../serving/served-model.js';
import type { Filter, Item } from '../store/vector-store.js';
import { DualPut } from './dual-put.js';
import type { RolloutMetrics } from './metrics.js';
import { type OutOfSyncLog, SOME_ITEMS, type TrackedWrite } from './out-of-sync-log.js';

/** Shortest time that a reply waits for the second index when the first already has the write. */
const GRACE_MS = 5000;
/** Requests whose writes may still be on their way to the second index after their reply. */
const MAX_LATE = 64;

/**
 * Applies writes to a second index as well. A failure there is counted, logged and recorded in the out-of-sync log;
 * it never fails the request.
 */
export class DualWriter {
  private readonly running = new Set<Promise<unknown>>();
  private late = 0;

  /** @param model of the second index; undefined where it could not be opened, and every write is out of sync */
  constructor(
    readonly model: ServedModel | undefined,
    readonly outOfSync: OutOfSyncLog,
    private readonly metrics: RolloutMetrics,
    private readonly logger: Logger,
  ) {}

  /** As `putItems`, with both models. @returns the outcome in the first index */
  put(
    first: ServedModel,
    items: readonly NewItem[],
    options: PutOptions,
    context: CallContext,
  ): Promise<(Item | Problem)[]> {
    return this.track(this.putBoth(first, items, options, context));
  }

  /** @returns how many of the ids the first index had */
  delete(first: ServedModel, ids: readonly string[]): Promise<number> {
    return this.track(this.deleteBoth(first, ids));
  }

  /** To be called while no other write runs, since no id says which write came first. @returns how many the first had */
  async deleteWhere(first: ServedModel, filter: Filter): Promise<number> {
    const writes = [...this.outOfSync.begin([SOME_ITEMS]).values()];
    let deleted: number;
    try {
      await this.outOfSync.sync();
      deleted = await first.store.deleteWhere(filter);
    } catch (error) {
      for (const write of writes) write.abandon();
      throw error;
    }
    for (const write of writes) write.order();
    await this.follow(writes, async () => {
      await this.loaded().store.deleteWhere(filter);
      return () => true;
    });
    return deleted;
  }

  /** Whether every running write ends within the time. */
  drained(timeoutMs: number): Promise<boolean> {
    return within(Promise.allSettled(this.running), timeoutMs);
  }

  private async putBoth(
    first: ServedModel,
    items: readonly NewItem[],
    options: PutOptions,
    context: CallContext,
  ): Promise<(Item | Problem)[]> {
    const startedMs = performance.now();
    const model = this.late < MAX_LATE ? this.model : undefined;
    const put = new DualPut(items, this.outOfSync, { first, second: model }, options, context);
    const outcomes = await put.toFirst();
    const followed = this.follow(put.stored, async () => {
      this.loaded();
      if (model === undefined) throw new Error(`${this.late} requests already wait for the second index`);
      return put.toSecond();
    });
    await this.waitFor(followed, performance.now() - startedMs);
    return outcomes;
  }

  private async deleteBoth(first: ServedModel, ids: readonly string[]): Promise<number> {
    const writes = this.outOfSync.begin(ids);
    let deleted: number;
    try {
      await this.outOfSync.sync();
      for (const write of writes.values()) write.order();
      deleted = await first.store.delete(ids);
    } catch (error) {
      for (const write of writes.values()) write.abandon();
      throw error;
    }
    const followed = this.follow([...writes.values()], async () => {
      await this.loaded().store.delete([...writes].flatMap(([id, { isLatest }]) => (isLatest ? [id] : [])));
      return () => true;
    });
    await this.waitFor(followed, 0);
    return deleted;
  }

  private loaded(): ServedModel {
    if (this.model === undefined) throw new Error('the second model is not loaded');
    return this.model;
  }

  /**
   * Applies writes to the second index, and records the outcome of each. Never rejects.
   * @param apply resolves with a function that says whether the second index has a write
   */
  private async follow(
    writes: readonly TrackedWrite[],
    apply: () => Promise<(write: TrackedWrite) => boolean>,
  ): Promise<void> {
    const hasWrite = await apply().catch((error: unknown) => {
      this.logger.warn({ err: error, writes: writes.length }, 'rollout: the second index did not take these writes');
      return () => false;
    });
    for (const write of writes) {
      const isSynced = hasWrite(write);
      if (isSynced) write.done();
      else write.miss();
      this.metrics.writes.inc({ outcome: isSynced ? 'mirrored' : write.isLatest ? 'missed' : 'superseded' });
    }
  }

  /** Waits for the second index as long as the first took, and at least the grace time. */
  private async waitFor(followed: Promise<void>, firstTookMs: number): Promise<void> {
    this.track(followed);
    if (await within(followed, Math.max(GRACE_MS, firstTookMs))) return;
    this.late++;
    void followed.then(() => this.late--);
  }

  private track<Result>(work: Promise<Result>): Promise<Result> {
    const forget = () => this.running.delete(work);
    this.running.add(work);
    work.then(forget, forget);
    return work;
  }
}

/** Whether `work`, which does not reject, ends within the time. */
function within(work: Promise<unknown>, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), timeoutMs);
    void work.then(() => {
      clearTimeout(timer);
      resolve(true);
    });
  });
}
