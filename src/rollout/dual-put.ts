import { Problem } from '../common/errors.js';
import { type ItemStore, type NewItem, type PutOptions, putItems } from '../items/put-items.js';
import { shareParts } from '../search/share-terms.js';
import type { ServedModel } from '../serving/served-model.js';
import type { Item } from '../store/vector-store.js';
import type { MissedItems, Write } from './out-of-sync-log.js';

type Open = () => Promise<NewItem>;

/**
 * Items on their way to two indexes: opened once, embedded by both models side by side, stored in the second
 * when the first has them.
 */
export class DoublePut {
  private readonly writes = new Map<string, Write>();
  private readonly givenUp = new AbortController();
  private readonly mine: readonly Open[];
  private readonly second: Promise<(Item | Problem)[]> | undefined;
  private readonly inFirst: Promise<ReadonlySet<string>>;
  private tellSecond: (stored: ReadonlySet<string>) => void = () => {};

  /** The second model begins to embed at once. */
  constructor(
    open: readonly Open[],
    private readonly missed: MissedItems,
    private readonly models: { first: ServedModel; second: ServedModel | undefined },
    private readonly options: PutOptions,
  ) {
    this.inFirst = new Promise((resolve) => {
      this.tellSecond = resolve;
    });
    if (models.second === undefined) {
      this.mine = open.map((openOne) => () => this.opened(openOne));
      return;
    }
    const twins = open.map((openOne) => once(async () => shareItem(await this.opened(openOne))));
    this.mine = twins.map((twin) => async () => (await twin())[0]);
    this.second = this.startSecond(models.second, twins);
    // `toSecond` awaits it; when the first index refuses everything, nobody wants to know.
    this.second.catch(() => {});
  }

  /** The writes that the first index has, and the second should have. */
  get stored(): readonly Write[] {
    return [...this.writes.values()];
  }

  /** @throws what the first model or index throws; then there is nothing for the second either */
  async toFirst(): Promise<(Item | Problem)[]> {
    const { first } = this.models;
    const { store } = first;
    const ordered: ItemStore = {
      originals: store.originals,
      upsert: (items) => {
        for (const { id } of items) this.writes.get(id)?.order();
        return store.upsert(items);
      },
    };
    try {
      const outcomes = await putItems({ embedder: first.embedder, store: ordered }, this.mine, this.options);
      const stored = new Set(outcomes.flatMap((outcome) => (outcome instanceof Problem ? [] : [outcome.id])));
      this.forget((id) => !stored.has(id));
      this.tellSecond(stored);
      return outcomes;
    } catch (error) {
      this.givenUp.abort();
      this.forget(() => true);
      this.tellSecond(new Set());
      throw error;
    }
  }

  /** Whether the second index has a write. @throws what its model or store throws */
  async toSecond(): Promise<(write: Write) => boolean> {
    const outcomes = (await this.second) ?? [];
    const arrived = new Set(outcomes.flatMap((one) => (one instanceof Problem ? [] : [this.writes.get(one.id)])));
    return (write) => arrived.has(write);
  }

  private async opened(openOne: Open): Promise<NewItem> {
    const item = await openOne();
    if (!this.writes.has(item.id)) this.writes.set(item.id, this.missed.begin(item.id));
    return item;
  }

  private startSecond(model: ServedModel, twins: readonly (() => Promise<[NewItem, NewItem]>)[]) {
    const { store, embedder, metrics } = model;
    const following: ItemStore = {
      originals: store.originals,
      upsert: async (items) => {
        const stored = await this.inFirst;
        // A later write of an item may have overtaken this one, and must not be undone by it.
        const isWanted = ({ id }: Item) => stored.has(id) && this.writes.get(id)?.isLatest === true;
        // It is the fault of single items: `putItems` tries the others one by one.
        if (!items.every(isWanted)) throw new Problem('conflict', 'The first index does not have this item.');
        await store.upsert(items);
      },
    };
    const theirs = twins.map((twin) => async () => withoutVector((await twin())[1]));
    const options = { ...this.options, signal: this.givenUp.signal, record: metrics.record };
    return putItems({ embedder, store: following }, theirs, options);
  }

  /** Gives up the writes that the first index does not have. */
  private forget(isRefused: (id: string) => boolean): void {
    for (const [id, write] of this.writes) {
      if (!isRefused(id)) continue;
      write.abandon();
      this.writes.delete(id);
    }
  }
}

/** The item twice, for two that each take over its uploads. */
function shareItem(item: NewItem): [NewItem, NewItem] {
  if (!('parts' in item)) return [item, item];
  const [one, other] = shareParts(item.parts);
  return [
    { ...item, parts: one },
    { ...item, parts: other },
  ];
}

/** The numbers of a ready vector mean something to one model alone. */
function withoutVector(item: NewItem): NewItem {
  if ('parts' in item) return item;
  throw new Problem('invalid_request', 'A ready vector cannot be had from another model.');
}

function once<Result>(make: () => Promise<Result>): () => Promise<Result> {
  let made: Promise<Result> | undefined;
  return () => {
    made ??= make();
    return made;
  };
}
