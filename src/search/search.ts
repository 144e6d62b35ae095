import { Problem } from '../common/errors.js';
import type { Modality } from '../common/modality.js';
import { toUnitVector } from '../common/vector.js';
import type { Embedder, EmbedOptions } from '../embedding/embedder.js';
import { LIMITS } from '../store/limits.js';
import type { Filter, Hit, VectorStore } from '../store/vector-store.js';
import type { Term } from './query-terms.js';

export interface SearchRequest {
  terms: readonly Term[];
  /** Results wanted. */
  count: number;
  /** Results to pass over before the first. */
  offset: number;
  /** Least score of a result. */
  minScore?: number | undefined;
  modality?: Modality | undefined;
  filter?: Filter | undefined;
  /** Whether each result brings its vector. */
  withVectors: boolean;
}

export interface Found extends Hit {
  vector?: Float32Array;
}

/** Finds what lies nearest to anything that has a place in the space: inputs, vectors, items, and mixes of them. */
export class Searcher {
  constructor(
    private readonly embedder: Embedder,
    private readonly store: VectorStore,
    private readonly dim: number,
  ) {}

  /**
   * Best first. Takes the uploads of the terms over. An item that the query itself names is not a result.
   * @throws Problem `not_found` for an id that is not stored, `not_normalizable` for terms that cancel out
   */
  async search(request: SearchRequest, options: EmbedOptions): Promise<Found[]> {
    const { vector, modality } = await this.locate(request.terms, options);
    const start = performance.now();
    const hits = await this.hits(vector, request);
    const found = request.withVectors ? await this.addVectors(hits) : hits;
    options.record('search', modality, (performance.now() - start) / 1000);
    return found;
  }

  /** The point to look around: the weighted sum of the terms, on the sphere again. */
  private async locate(
    terms: readonly Term[],
    options: EmbedOptions,
  ): Promise<{ vector: Float32Array; modality: Modality }> {
    const points = await Promise.all(terms.map((term) => this.locateTerm(term, options)));
    const [first] = points;
    if (first !== undefined && points.length === 1 && terms[0]?.weight === 1) return first;
    const sum = new Array<number>(this.dim).fill(0);
    for (const [place, { vector }] of points.entries()) {
      const weight = terms[place]?.weight ?? 0;
      for (let i = 0; i < this.dim; i++) sum[i] = (sum[i] as number) + weight * (vector[i] as number);
    }
    return { vector: toUnitVector(sum, this.dim), modality: first?.modality ?? 'text' };
  }

  private async locateTerm(term: Term, options: EmbedOptions): Promise<{ vector: Float32Array; modality: Modality }> {
    if ('parts' in term) return this.embedder.embed(term.parts, { ...options, role: 'query' });
    if ('vector' in term) return { vector: term.vector, modality: 'text' };
    const item = await this.store.get(term.id);
    if (item === undefined) throw new Problem('not_found', `There is no item "${term.id}".`, { id: term.id });
    return item;
  }

  private async hits(vector: Float32Array, request: SearchRequest): Promise<Hit[]> {
    const { terms, count, offset, minScore, modality, filter } = request;
    const named = new Set(terms.flatMap((term) => ('id' in term ? [term.id] : [])));
    const hits = await this.store.search(vector, {
      k: depthOf(offset + count, named.size),
      ...(modality === undefined ? {} : { modality }),
      ...(filter === undefined ? {} : { filter }),
    });
    const others = hits.filter(({ id }) => !named.has(id)).slice(offset, offset + count);
    // Scores are float32: so is a limit that was copied from one.
    return minScore === undefined ? others : others.filter(({ score }) => score >= Math.fround(minScore));
  }

  private async addVectors(hits: readonly Hit[]): Promise<Found[]> {
    const items = await Promise.all(hits.map(({ id }) => this.store.get(id)));
    return hits.map((hit, place) => {
      const vector = items[place]?.vector;
      // An item may have been deleted since it was found.
      return vector === undefined ? hit : { ...hit, vector };
    });
  }
}

/** Neighbours to ask for, so that `wanted` are left when the `named` ones are taken out. */
function depthOf(wanted: number, named: number): number {
  const most = LIMITS.k - named;
  if (wanted <= most) return wanted + named;
  throw new Problem('invalid_request', `body.offset + body.top_k may reach ${most}; ${wanted} came.`, {
    in: 'body',
    field: 'offset',
    limit: most,
  });
}
