import { Problem } from '../common/errors.js';
import type { Counts, VectorStore } from './vector-store.js';

/** Counting makes a Chroma server read every id, and metrics and health checks count often. */
const COUNT_FRESH_MS = 15_000;
/** Counts are kept for this many times as long as counting took, so that it takes at most a twentieth of the time. */
const COUNT_FRESH_FACTOR = 20;

/** A store that is opened at its first use, and again at the next use when that fails. Counts may be some seconds old. */
export class LazyStore implements VectorStore {
  private opening: Promise<VectorStore> | undefined;
  private counted: { until: number; counts: Counts } | undefined;

  constructor(private readonly open: () => Promise<VectorStore>) {}

  private store(): Promise<VectorStore> {
    this.opening ??= this.open().catch((error: unknown) => {
      this.opening = undefined;
      throw error;
    });
    return this.opening;
  }

  /** A count from before a failure could hide that the store does not answer. */
  private async use<Result>(call: (store: VectorStore) => Promise<Result>): Promise<Result> {
    try {
      return await call(await this.store());
    } catch (error) {
      if (error instanceof Problem && error.code === 'store_unavailable') this.counted = undefined;
      throw error;
    }
  }

  upsert: VectorStore['upsert'] = (items) => this.use((store) => store.upsert(items));
  get: VectorStore['get'] = (id) => this.use((store) => store.get(id));
  delete: VectorStore['delete'] = (ids) => this.use((store) => store.delete(ids));
  deleteWhere: VectorStore['deleteWhere'] = (filter) => this.use((store) => store.deleteWhere(filter));
  list: VectorStore['list'] = (options) => this.use((store) => store.list(options));
  search: VectorStore['search'] = (vector, options) => this.use((store) => store.search(vector, options));
  check: VectorStore['check'] = () => this.use((store) => store.check());
  count: VectorStore['count'] = async () => {
    if (this.counted !== undefined && performance.now() < this.counted.until) return this.counted.counts;
    const store = await this.store();
    const startMs = performance.now();
    const counts = await store.count();
    const endMs = performance.now();
    this.counted = { until: endMs + Math.max(COUNT_FRESH_MS, COUNT_FRESH_FACTOR * (endMs - startMs)), counts };
    return counts;
  };
  close: VectorStore['close'] = async () => {
    const opened = await this.opening?.catch(() => undefined);
    await opened?.close();
  };
}
