import { setMaxListeners } from 'node:events';
import { Problem } from '../common/errors.js';
import type { CallContext } from '../embedding/call-context.js';
import type { NewItem } from '../items/new-item.js';
import { type PutOptions, type PutTarget, putItems } from '../items/put-items.js';
import type { ServedModel } from '../serving/served-model.js';
import type { Item } from '../store/vector-store.js';
import type { OutOfSyncLog, TrackedWrite } from './out-of-sync-log.js';

/**
 * Puts items into two indexes: each is opened once, both models embed it at the same time, and the second index
 * stores what the first has stored.
 */
export class DualPut {
  private readonly writes: Map<string, TrackedWrite>;
  private readonly marked: Promise<void>;
  private readonly aborted = new AbortController();
  private readonly second: Promise<(Item | Problem)[]> | undefined;
  private readonly inFirst: Promise<ReadonlySet<string>>;
  private reportFirst: (stored: ReadonlySet<string>) => void = () => {};

  /**
   * The second model starts to embed at once.
   * @param models `second` is undefined where the second index takes no write now
   * @throws the error of the disk, where the items cannot be marked
   */
  constructor(
    private readonly items: readonly NewItem[],
    log: OutOfSyncLog,
    private readonly models: { first: ServedModel; second: ServedModel | undefined },
    private readonly options: PutOptions,
    private readonly context: CallContext,
  ) {
    this.writes = log.begin(items.map(({ id }) => id));
    this.marked = log.sync();
    // `toFirst` awaits it, but not where the model refuses every item.
    this.marked.catch(() => {});
    // Every item of the second index listens to this one signal.
    setMaxListeners(0, this.aborted.signal);
    this.inFirst = new Promise((resolve) => {
      this.reportFirst = resolve;
    });
    if (models.second === undefined) return;
    this.second = this.startSecond(models.second);
    // `toSecond` awaits it; when the first index refuses everything, nobody does.
    this.second.catch(() => {});
  }

  /** The writes that the first index has, and the second should have. */
  get stored(): readonly TrackedWrite[] {
    return [...this.writes.values()];
  }

  /** @throws the error of the first model or index; the second index then stores nothing either */
  async toFirst(): Promise<(Item | Problem)[]> {
    const { embedder, store, dim } = this.models.first;
    const target: PutTarget = {
      embedder,
      dim,
      store: {
        originals: store.originals,
        upsert: async (items) => {
          await this.marked;
          for (const { id } of items) this.writes.get(id)?.order();
          await store.upsert(items);
        },
      },
    };
    try {
      const outcomes = await putItems(target, this.items, this.options, this.context);
      const stored = new Set(outcomes.flatMap((outcome) => (outcome instanceof Problem ? [] : [outcome.id])));
      this.abandon((id) => !stored.has(id));
      this.reportFirst(stored);
      return outcomes;
    } catch (error) {
      this.aborted.abort();
      this.abandon(() => true);
      this.reportFirst(new Set());
      throw error;
    }
  }

  /** Whether the second index has a write. @throws the error of its model or store */
  async toSecond(): Promise<(write: TrackedWrite) => boolean> {
    const outcomes = (await this.second) ?? [];
    const stored = new Set(outcomes.flatMap((one) => (one instanceof Problem ? [] : [this.writes.get(one.id)])));
    return (write) => stored.has(write);
  }

  private async startSecond(model: ServedModel): Promise<(Item | Problem)[]> {
    const { embedder, store, dim, metrics } = model;
    const target: PutTarget = {
      embedder,
      dim,
      store: {
        originals: store.originals,
        upsert: async (items) => {
          const inFirst = await this.inFirst;
          // A later write of the same item may have overtaken this one, which must not undo it.
          const isCurrent = ({ id }: Item) => inFirst.has(id) && this.writes.get(id)?.isLatest === true;
          // A problem of single items: `putItems` then tries the others one by one.
          if (!items.every(isCurrent)) throw new Problem('conflict', 'The first index does not have this item.');
          await store.upsert(items);
        },
      },
    };
    const release = this.context.uploads.hold();
    try {
      return await putItems(target, this.items.map(withoutVector), this.options, {
        uploads: this.context.uploads,
        signal: this.aborted.signal,
        record: metrics.record,
      });
    } finally {
      release();
    }
  }

  /** Gives up the writes that the first index does not have. */
  private abandon(isRefused: (id: string) => boolean): void {
    for (const [id, write] of this.writes) {
      if (!isRefused(id)) continue;
      write.abandon();
      this.writes.delete(id);
    }
  }
}

/** A ready vector belongs to one model: the other cannot store the item. */
function withoutVector(item: NewItem): NewItem {
  if (!('json' in item) || item.json.embedding === undefined) return item;
  return { id: item.id, problem: new Problem('invalid_request', 'A ready vector belongs to one model alone.') };
}
