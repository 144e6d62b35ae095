import type { Index } from 'faiss-node';
import { type IndexKind, oversample } from '../../../common/index-kind.js';
import { assert } from '../../../lib/assert.js';
import { faiss } from './faiss-binding.js';
import { FlatIndex } from './flat-index.js';
import type { Proposal, VectorIndex } from './vector-index.js';

/**
 * An approximate index of a snapshot's rows, and an exact one of the rows after it. The approximate one is not
 * added to: it was trained on the snapshot, so it would find new rows less well, and adding costs more than in
 * FAISS's flat index.
 */
export class ApproximateIndex implements VectorIndex {
  readonly #built: Index;
  readonly #added: FlatIndex;

  private constructor(
    readonly kind: IndexKind,
    readonly dim: number,
    built: Index,
  ) {
    this.#built = built;
    this.#added = FlatIndex.empty(dim);
  }

  /** Blocks while FAISS reads the file. */
  static read(kind: IndexKind, file: string, dim: number, rows: number): ApproximateIndex {
    const index = faiss.Index.read(file);
    assert(index.getDimension() === dim && index.ntotal() === rows, 'an approximate index of other vectors');
    return new ApproximateIndex(kind, dim, index);
  }

  get rows(): number {
    return this.#built.ntotal() + this.#added.rows;
  }

  oversample(k: number): number {
    return oversample(this.kind, k);
  }

  add(vectors: readonly Uint8Array[], scratch: string): void {
    this.#added.add(vectors, scratch);
  }

  search(queries: readonly Float32Array[], fetch: number): Proposal[] {
    const built = this.#searchBuilt(queries, Math.min(fetch, this.#built.ntotal()));
    if (this.#added.rows === 0) return built.map((rows) => this.#toProposal(rows, []));
    const added = this.#added.search(queries, Math.min(fetch, this.#added.rows));
    return built.map((rows, i) => this.#toProposal(rows, added[i]?.rows ?? []));
  }

  #searchBuilt(queries: readonly Float32Array[], fetch: number): number[][] {
    const flat: number[] = [];
    for (const query of queries) for (const value of query) flat.push(value);
    const { labels } = this.#built.search(flat, fetch);
    // A graph may reach fewer rows than requested; FAISS pads with -1.
    return queries.map((_, i) => labels.slice(i * fetch, (i + 1) * fetch).filter((label) => label >= 0));
  }

  #toProposal(built: readonly number[], added: readonly number[]): Proposal {
    const rows = [...built, ...added.map((row) => row + this.#built.ntotal())];
    return { rows, maxOmittedScore: rows.length === this.rows ? -Infinity : undefined };
  }
}
