/** What an index proposes for one query. */
export interface Proposal {
  /** Best first, as far as the index can tell. */
  rows: number[];
  /**
   * Upper bound of the inner products of all rows left out; -Infinity when none was, undefined where an
   * approximate index has no bound.
   */
  maxOmittedScore: number | undefined;
}

/** Vectors of equal length, and which of them are near a query; a vector's label is its row. */
export interface VectorIndex {
  readonly dim: number;
  readonly rows: number;
  /** Candidates to request for `k` results without a filter. */
  oversample(k: number): number;
  /**
   * @param vectors float32 bytes of whole rows
   * @param scratch path of a file this may write and remove
   */
  add(vectors: readonly Uint8Array[], scratch: string): void;
  /** About `fetch` rows for each query; there is at least one query, and `fetch` is between 1 and `rows`. */
  search(queries: readonly Float32Array[], fetch: number): Proposal[];
}
