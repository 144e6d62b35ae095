import { MODALITIES } from '../../../common/modality.js';
import { LIMITS } from '../../limits.js';
import type { IndexEvents } from '../events.js';
import type { Collection } from '../segment/collection.js';
import type { Shard } from '../segment/segment.js';
import type { RawHit, RawQuery } from '../worker/protocol.js';
import { type Selection, selectionOf } from './compiled-filter.js';
import type { Matches } from './filter-bitmap.js';
import { searchShard } from './search-segment.js';
import { byScoreThenId, type Candidate } from './top-k.js';

interface Waiting {
  query: RawQuery;
  selection: Selection | undefined;
  prepared: ReadonlyMap<Shard, Matches>;
  resolve: (hits: RawHit[]) => void;
  reject: (error: unknown) => void;
}

type Found = Candidate & { shard: Shard };

/**
 * Answers searches in rounds: queries that have arrived by the time FAISS is free share its calls.
 * A round is synchronous, so an answer shows one moment of the index. A filter that needs every
 * row examined is prepared between rounds, and its query then takes part in a later one.
 */
export class Searcher {
  readonly #collection: Collection;
  readonly #onBatch: IndexEvents['onSearchBatch'];
  readonly #waiting: Waiting[] = [];
  #preparing: Promise<void> = Promise.resolve();

  constructor(collection: Collection, onBatch: IndexEvents['onSearchBatch']) {
    this.#collection = collection;
    this.#onBatch = onBatch;
  }

  ask(query: RawQuery): Promise<RawHit[]> {
    return new Promise((resolve, reject) => {
      const selection = query.filter === undefined ? undefined : selectionOf(query.filter);
      this.#enqueue({ query, selection, prepared: new Map(), resolve, reject });
    });
  }

  #enqueue(waiting: Waiting): void {
    this.#waiting.push(waiting);
    if (this.#waiting.length === 1) setImmediate(() => this.#round());
  }

  #round(): void {
    const round = this.#waiting.splice(0, LIMITS.queriesPerBatch);
    if (this.#waiting.length > 0) setImmediate(() => this.#round());
    const startedMs = performance.now();
    try {
      this.#answer(round);
    } catch (error) {
      for (const { reject } of round) reject(error);
    }
    this.#onBatch?.({ queries: round.length, durationMs: performance.now() - startedMs });
  }

  #answer(round: readonly Waiting[]): void {
    const found = round.map((): Found[] | undefined => []);
    for (const modality of MODALITIES) this.#askShard(this.#collection.shards[modality], round, found);
    round.forEach((waiting, at) => {
      const candidates = found[at];
      if (candidates === undefined) this.#prepare(waiting);
      else waiting.resolve(candidates.sort(byScoreThenId).slice(0, waiting.query.k).map(toHit));
    });
  }

  /** Adds a shard's candidates; a query that it cannot answer yet becomes undefined. */
  #askShard(shard: Shard, round: readonly Waiting[], found: (Found[] | undefined)[]): void {
    const asked = round
      .map((waiting, at) => ({ ...waiting, at }))
      .filter(({ query, at }) => (query.modality ?? shard.modality) === shard.modality && found[at] !== undefined);
    const answers = searchShard(
      shard,
      asked.map(({ query: { vector, k }, selection, prepared }) => ({
        vector,
        k,
        selection,
        prepared: prepared.get(shard),
      })),
    );
    asked.forEach(({ at }, i) => {
      const answer = answers[i];
      found[at] = answer && found[at]?.concat(answer.map((candidate) => ({ ...candidate, shard })));
    });
  }

  /** One query after the other: together they would only take longer, and more memory. */
  #prepare(waiting: Waiting): void {
    this.#preparing = this.#preparing.then(async () => {
      try {
        this.#enqueue({ ...waiting, prepared: await this.#matchesOf(waiting) });
      } catch (error) {
        waiting.reject(error);
      }
    });
  }

  async #matchesOf({ query, selection }: Waiting): Promise<Map<Shard, Matches>> {
    const prepared = new Map<Shard, Matches>();
    for (const shard of Object.values(this.#collection.shards))
      if (selection !== undefined && (query.modality ?? shard.modality) === shard.modality)
        prepared.set(shard, await shard.matches.prepare(shard, selection));
    return prepared;
  }
}

const toHit = ({ shard, row, score }: Found): RawHit => ({ ...shard.serialize(row), score });
