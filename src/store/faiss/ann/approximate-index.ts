import type { Index } from 'faiss-node';
import { type Approximation, approximateFetch } from '../../../common/index-kind.js';
import { assert } from '../../../lib/assert.js';
import { faiss } from './faiss-binding.js';
import { FlatIndex } from './flat-index.js';
import type { NeighbourIndex, Proposal } from './vector-index.js';

/**
 * An approximate index of a snapshot's rows, and an exact one of the rows since. Trained on the
 * old rows, it would serve new ones badly, and adding to it costs more than FAISS's flat index.
 */
export class ApproximateIndex implements NeighbourIndex {
  readonly #old: Index;
  readonly #fresh: FlatIndex;

  private constructor(
    readonly kind: Approximation,
    readonly dim: number,
    old: Index,
  ) {
    this.#old = old;
    this.#fresh = FlatIndex.empty(dim);
  }

  /** Blocks while FAISS reads the file. */
  static read(kind: Approximation, file: string, dim: number, rows: number): ApproximateIndex {
    const index = faiss.Index.read(file);
    assert(index.getDimension() === dim && index.ntotal() === rows, 'an approximation of other vectors');
    return new ApproximateIndex(kind, dim, index);
  }

  get rows(): number {
    return this.#old.ntotal() + this.#fresh.rows;
  }

  fetchFor(k: number): number {
    return approximateFetch(this.kind, k);
  }

  add(vectors: readonly Uint8Array[], scratch: string): void {
    this.#fresh.add(vectors, scratch);
  }

  search(queries: readonly Float32Array[], fetch: number): Proposal[] {
    const old = this.#searchOld(queries, Math.min(fetch, this.#old.ntotal()));
    if (this.#fresh.rows === 0) return old.map((rows) => this.#propose(rows, []));
    const fresh = this.#fresh.search(queries, Math.min(fetch, this.#fresh.rows));
    return old.map((rows, i) => this.#propose(rows, fresh[i]?.rows ?? []));
  }

  #searchOld(queries: readonly Float32Array[], fetch: number): number[][] {
    const flat: number[] = [];
    for (const query of queries) for (const value of query) flat.push(value);
    const { labels } = this.#old.search(flat, fetch);
    // A graph may reach fewer rows than asked for; FAISS fills up with -1.
    return queries.map((_, i) => labels.slice(i * fetch, (i + 1) * fetch).filter((label) => label >= 0));
  }

  #propose(old: readonly number[], fresh: readonly number[]): Proposal {
    const rows = [...old, ...fresh.map((row) => row + this.#old.ntotal())];
    return { rows, leftOutAtMost: rows.length === this.rows ? -Infinity : undefined };
  }
}
