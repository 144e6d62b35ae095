/** What FAISS proposes for one query. */
export interface Proposal {
  /** Best first, as far as the index can tell. */
  rows: number[];
  /**
   * No row that was left out has a higher inner product; -Infinity when none was left out, and
   * nothing where an approximate index cannot tell.
   */
  leftOutAtMost: number | undefined;
}

/** Rows of equal length, and which of them are near a query; a row's label is its position. */
export interface NeighbourIndex {
  readonly dim: number;
  readonly rows: number;
  /** How many to ask for when the `k` best are wanted and nothing is filtered. */
  fetchFor(k: number): number;
  /**
   * @param vectors float32 bytes of whole rows
   * @param scratch path of a file this may write and remove
   */
  add(vectors: readonly Uint8Array[], scratch: string): void;
  /** About `fetch` rows for each query; there is at least one, and `fetch` is between 1 and `rows`. */
  search(queries: readonly Float32Array[], fetch: number): Proposal[];
}
