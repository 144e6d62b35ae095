import { MODALITIES } from '../../../common/modality.js';
import type { IndexEvents } from '../../events.js';
import { LIMITS } from '../../limits.js';
import type { Collection } from '../segment/collection.js';
import type { Segment } from '../segment/segment.js';
import type { EngineQuery, SerializedHit } from '../worker/protocol.js';
import { type CompiledFilter, toCompiledFilter } from './compiled-filter.js';
import type { FilterBitmap } from './filter-bitmap.js';
import { searchSegment } from './search-segment.js';
import { byScoreThenId, type Candidate } from './top-k.js';

interface PendingQuery {
  query: EngineQuery;
  filter: CompiledFilter | undefined;
  /** Bitmaps of the filter, where they have been prepared. */
  bitmaps: ReadonlyMap<Segment, FilterBitmap>;
  resolve: (hits: SerializedHit[]) => void;
  reject: (error: unknown) => void;
}

type Found = Candidate & { segment: Segment };

/**
 * Answers searches in batches: queries that have arrived by the time FAISS is free share its calls. A batch is
 * synchronous, so an answer shows one state of the index. A filter that needs every row examined is prepared
 * between batches, and its query is answered in a later one.
 */
export class QueryBatcher {
  readonly #collection: Collection;
  readonly #onBatch: IndexEvents['onSearchBatch'];
  readonly #pending: PendingQuery[] = [];
  #preparing: Promise<void> = Promise.resolve();

  constructor(collection: Collection, onBatch: IndexEvents['onSearchBatch']) {
    this.#collection = collection;
    this.#onBatch = onBatch;
  }

  /**
   * @returns at most `k` hits, best first; equal scores by id
   * @throws Problem `invalid_request` for a filter that is not one
   */
  search(query: EngineQuery): Promise<SerializedHit[]> {
    return new Promise((resolve, reject) => {
      const filter = query.filter === undefined ? undefined : toCompiledFilter(query.filter);
      this.#enqueue({ query, filter, bitmaps: new Map(), resolve, reject });
    });
  }

  #enqueue(pending: PendingQuery): void {
    this.#pending.push(pending);
    if (this.#pending.length === 1) setImmediate(() => this.#runBatch());
  }

  #runBatch(): void {
    const batch = this.#pending.splice(0, LIMITS.queriesPerBatch);
    if (this.#pending.length > 0) setImmediate(() => this.#runBatch());
    const startedMs = performance.now();
    try {
      this.#answer(batch);
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
    this.#onBatch?.({ queries: batch.length, durationMs: performance.now() - startedMs });
  }

  #answer(batch: readonly PendingQuery[]): void {
    const found = batch.map((): Found[] | undefined => []);
    for (const modality of MODALITIES) this.#searchSegment(this.#collection.segments[modality], batch, found);
    batch.forEach((pending, at) => {
      const candidates = found[at];
      if (candidates === undefined) this.#prepare(pending);
      else pending.resolve(candidates.sort(byScoreThenId).slice(0, pending.query.k).map(toHit));
    });
  }

  /** Adds a segment's candidates to `found`; undefined for a query that needs its filter prepared first. */
  #searchSegment(segment: Segment, batch: readonly PendingQuery[], found: (Found[] | undefined)[]): void {
    const queries = batch
      .map((pending, at) => ({ ...pending, at }))
      .filter(({ query, at }) => (query.modality ?? segment.modality) === segment.modality && found[at] !== undefined);
    const answers = searchSegment(
      segment,
      queries.map(({ query: { vector, k }, filter, bitmaps }) => ({
        vector,
        k,
        filter,
        bitmap: bitmaps.get(segment),
      })),
    );
    queries.forEach(({ at }, i) => {
      const answer = answers[i];
      found[at] = answer && found[at]?.concat(answer.map((candidate) => ({ ...candidate, segment })));
    });
  }

  /** One filter after the other: side by side they would only take longer, and more memory. */
  #prepare(pending: PendingQuery): void {
    this.#preparing = this.#preparing.then(async () => {
      try {
        this.#enqueue({ ...pending, bitmaps: await this.#bitmapsOf(pending) });
      } catch (error) {
        pending.reject(error);
      }
    });
  }

  async #bitmapsOf({ query, filter }: PendingQuery): Promise<Map<Segment, FilterBitmap>> {
    const bitmaps = new Map<Segment, FilterBitmap>();
    for (const segment of Object.values(this.#collection.segments))
      if (filter !== undefined && (query.modality ?? segment.modality) === segment.modality)
        bitmaps.set(segment, await segment.filterBitmaps.prepare(segment, filter));
    return bitmaps;
  }
}

const toHit = ({ segment, row, score }: Found): SerializedHit => ({ ...segment.serialize(row), score });
