import { forEachModality } from '../../src/common/modality.js';
import { compileFilter } from '../../src/store/filter.js';
import type { Counts, Filter, Hit, Item, SearchOptions } from '../../src/store/vector-store.js';

/** The contract done naively: what every driver must agree with. */
export class Oracle {
  readonly items: Map<string, Item>;

  constructor(items: Iterable<[string, Item]> = []) {
    this.items = new Map(items);
  }

  upsert(items: readonly Item[]): void {
    for (const item of items) this.items.set(item.id, item);
  }

  delete(ids: readonly string[]): number {
    return ids.filter((id) => this.items.delete(id)).length;
  }

  deleteWhere(filter: Filter): number {
    return this.delete(this.select(filter).map(({ id }) => id));
  }

  select(filter: Filter = {}, modality?: string): Item[] {
    const matches = compileFilter(filter);
    return [...this.items.values()]
      .filter((item) => (modality ?? item.modality) === item.modality && matches(item.metadata))
      .sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  search(vector: Float32Array, { k, modality, filter }: SearchOptions): Pick<Hit, 'id' | 'score'>[] {
    return this.select(filter, modality)
      .map(({ id, vector: stored }) => ({ id, score: dot(vector, stored) }))
      .sort((a, b) => b.score - a.score || (a.id < b.id ? -1 : 1))
      .slice(0, k);
  }

  counts(): Counts {
    const counts = forEachModality(() => 0);
    for (const { modality } of this.items.values()) counts[modality] += 1;
    return counts;
  }
}

const dot = (a: Float32Array, b: Float32Array): number =>
  Math.fround(a.reduce((sum, value, i) => sum + value * (b[i] ?? Number.NaN), 0));
