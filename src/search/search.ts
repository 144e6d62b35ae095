import { invalidField } from '../common/errors.js';
import type { Modality } from '../common/modality.js';
import { toUnitVector } from '../common/vector.js';
import type { CallContext } from '../embedding/call-context.js';
import type { Embedder } from '../embedding/embedder.js';
import { existingItem } from '../store/existing-item.js';
import { LIMITS } from '../store/limits.js';
import type { Filter, Hit, VectorStore } from '../store/vector-store.js';
import type { Term } from './query-terms.js';

export interface SearchRequest {
  terms: readonly Term[];
  /** Results to return. */
  topK: number;
  /** Results to skip before the first. */
  offset: number;
  /** Lowest score of a result. */
  minScore?: number | undefined;
  modality?: Modality | undefined;
  filter?: Filter | undefined;
  /** Whether each result includes its vector. */
  withVectors: boolean;
}

export interface SearchResult extends Hit {
  vector?: Float32Array;
}

/** A point in the vector space, and the modality it was made from. */
interface Point {
  vector: Float32Array;
  modality: Modality;
}

/** Finds the items nearest to inputs, vectors, stored items, and weighted mixes of them. */
export class Search {
  constructor(
    private readonly embedder: Embedder,
    private readonly store: VectorStore,
    private readonly dim: number,
  ) {}

  /**
   * The nearest items, best first. An item that the query itself names is not a result.
   * @throws Problem `not_found` for an id that is not stored, `not_normalizable` for terms that cancel out
   */
  async search(request: SearchRequest, context: CallContext): Promise<SearchResult[]> {
    const { vector, modality } = await this.locate(request.terms, context);
    const start = performance.now();
    const hits = await this.hits(vector, request);
    const results = request.withVectors ? await this.addVectors(hits) : hits;
    context.record('search', modality, (performance.now() - start) / 1000, this.embedder.model);
    return results;
  }

  /** The point to search around: the weighted sum of the terms, scaled to norm 1. */
  private async locate(terms: readonly Term[], context: CallContext): Promise<Point> {
    const points = await Promise.all(terms.map((term) => this.locateTerm(term, context)));
    const [first] = points;
    if (first !== undefined && points.length === 1 && terms[0]?.weight === 1) return first;
    const sum = new Array<number>(this.dim).fill(0);
    for (const [i, { vector }] of points.entries()) {
      const weight = terms[i]?.weight ?? 0;
      for (let j = 0; j < this.dim; j++) sum[j] = (sum[j] as number) + weight * (vector[j] as number);
    }
    return { vector: toUnitVector(sum, this.dim), modality: first?.modality ?? 'text' };
  }

  private async locateTerm(term: Term, context: CallContext): Promise<Point> {
    if ('parts' in term) return this.embedder.embed(term.parts, context, 'query');
    if ('vector' in term) return { vector: term.vector, modality: 'text' };
    return existingItem(this.store, term.id);
  }

  private async hits(vector: Float32Array, request: SearchRequest): Promise<Hit[]> {
    const { terms, topK, offset, minScore, modality, filter } = request;
    const named = new Set(terms.flatMap((term) => ('id' in term ? [term.id] : [])));
    const hits = await this.store.search(vector, {
      k: depthOf(offset + topK, named.size),
      ...(modality === undefined ? {} : { modality }),
      ...(filter === undefined ? {} : { filter }),
    });
    const others = hits.filter(({ id }) => !named.has(id)).slice(offset, offset + topK);
    // Scores are float32, so a limit that was copied from a score must be rounded like one.
    return minScore === undefined ? others : others.filter(({ score }) => score >= Math.fround(minScore));
  }

  private async addVectors(hits: readonly Hit[]): Promise<SearchResult[]> {
    const items = await Promise.all(hits.map(({ id }) => this.store.get(id)));
    return hits.map((hit, i) => {
      const vector = items[i]?.vector;
      // The item may have been deleted since it was found.
      return vector === undefined ? hit : { ...hit, vector };
    });
  }
}

/** Neighbours to request so that `results` remain when the `named` items are taken out. */
function depthOf(results: number, named: number): number {
  const limit = LIMITS.k - named;
  if (results <= limit) return results + named;
  const detail = `body.offset + body.top_k must be at most ${limit}; received ${results}.`;
  throw invalidField('body.offset', detail, { limit });
}
