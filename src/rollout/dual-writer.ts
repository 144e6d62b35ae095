import type { Problem } from '../common/errors.js';
import type { NewItem, PutOptions } from '../items/put-items.js';
import type { Logger } from '../lib/logger.js';
import type { ServedModel } from '../serving/served-model.js';
import type { Filter, Item } from '../store/vector-store.js';
import { DoublePut } from './dual-put.js';
import type { RolloutMetrics } from './metrics.js';
import type { MissedItems, Write } from './out-of-sync-log.js';

/** How long a reply waits at least for the second index when the first has the write already. */
const GRACE_MS = 5000;
/** Requests whose writes may still be on their way to the second index after their reply. */
const MAX_LATE = 64;
/** Stands among the missed items for a deletion by filter; no item can be called so. */
const FILTER_DELETION = '\u0000';

/**
 * Writes to a second index what is written to the first. What goes wrong there is counted, logged and remembered,
 * and never the caller's trouble.
 */
export class Mirror {
  private readonly underWay = new Set<Promise<unknown>>();
  private late = 0;

  /** @param model whose index is to be level; undefined where it could not be opened, and misses everything */
  constructor(
    readonly model: ServedModel | undefined,
    readonly missed: MissedItems,
    private readonly metrics: RolloutMetrics,
    private readonly logger: Logger,
  ) {}

  /** As `putItems`, by both models. @returns what became of the items in the first index */
  put(first: ServedModel, open: readonly (() => Promise<NewItem>)[], options: PutOptions): Promise<(Item | Problem)[]> {
    return this.track(this.putBoth(first, open, options));
  }

  /** @returns how many the first index had */
  delete(first: ServedModel, ids: readonly string[]): Promise<number> {
    return this.track(this.deleteBoth(first, ids));
  }

  /** To be called while nothing else is written: no id tells what it overtakes. @returns how many the first had */
  async deleteWhere(first: ServedModel, filter: Filter): Promise<number> {
    const deleted = await first.store.deleteWhere(filter);
    const write = this.missed.begin(FILTER_DELETION);
    write.order();
    await this.settle([write], async () => {
      await this.loaded().store.deleteWhere(filter);
      return () => true;
    });
    return deleted;
  }

  /** Whether every write under way ends within the time. */
  drained(timeoutMs: number): Promise<boolean> {
    return within(Promise.allSettled(this.underWay), timeoutMs);
  }

  private async putBoth(
    first: ServedModel,
    open: readonly (() => Promise<NewItem>)[],
    options: PutOptions,
  ): Promise<(Item | Problem)[]> {
    const startedMs = performance.now();
    const model = this.late < MAX_LATE ? this.model : undefined;
    const put = new DoublePut(open, this.missed, { first, second: model }, options);
    const outcomes = await put.toFirst();
    const settled = this.settle(put.stored, async () => {
      this.loaded();
      if (model === undefined) throw new Error(`${this.late} requests wait for the second index already`);
      return put.toSecond();
    });
    await this.waitFor(settled, performance.now() - startedMs);
    return outcomes;
  }

  private async deleteBoth(first: ServedModel, ids: readonly string[]): Promise<number> {
    const writes = new Map([...new Set(ids)].map((id) => [id, this.missed.begin(id)]));
    let deleted: number;
    try {
      for (const write of writes.values()) write.order();
      deleted = await first.store.delete(ids);
    } catch (error) {
      for (const write of writes.values()) write.abandon();
      throw error;
    }
    const settled = this.settle([...writes.values()], async () => {
      await this.loaded().store.delete([...writes].flatMap(([id, { isLatest }]) => (isLatest ? [id] : [])));
      return () => true;
    });
    await this.waitFor(settled, 0);
    return deleted;
  }

  private loaded(): ServedModel {
    if (this.model === undefined) throw new Error('the second model is not loaded');
    return this.model;
  }

  /**
   * Has the second index follow, and notes for each write what became of it. Never rejects.
   * @param follow gives a function that tells whether a write is there
   */
  private async settle(writes: readonly Write[], follow: () => Promise<(write: Write) => boolean>): Promise<void> {
    const outcome = await follow().catch((error: unknown) => {
      this.logger.warn({ err: error, writes: writes.length }, 'rollout: the second index missed writes');
      return () => false;
    });
    for (const write of writes) {
      const arrived = outcome(write);
      if (arrived) write.done();
      else write.miss();
      this.metrics.writes.inc({ outcome: arrived ? 'mirrored' : write.isLatest ? 'missed' : 'superseded' });
    }
  }

  /** Waits for the second index, but not for ever: as long again as the first took. */
  private async waitFor(settled: Promise<void>, firstTookMs: number): Promise<void> {
    this.track(settled);
    if (await within(settled, Math.max(GRACE_MS, firstTookMs))) return;
    this.late++;
    void settled.then(() => this.late--);
  }

  private track<Result>(work: Promise<Result>): Promise<Result> {
    const forget = () => this.underWay.delete(work);
    this.underWay.add(work);
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
