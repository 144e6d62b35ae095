/** How the approximate indexes are built and searched. Adding a kind is one entry here. */
interface IndexKindSpec {
  /** FAISS index factory string for vectors of `dim` numbers. */
  factory: (dim: number) => string;
  /**
   * Candidates to request for `k` results. They are scored again exactly, so a kind whose own order is only
   * roughly right needs more of them.
   */
  oversample: (k: number) => number;
}

/** Candidates beyond `k`, so that tombstones and ties seldom need a second FAISS call. */
export const OVERSAMPLING_MARGIN = 16;

const fourTimes = (k: number): number => Math.max(128, 4 * (k + OVERSAMPLING_MARGIN));

const KINDS = {
  /**
   * A graph over whole vectors: fast, and larger than the vectors.
   * Source: Malkov and Yashunin, https://arxiv.org/abs/1603.09320.
   */
  hnsw: { factory: () => 'HNSW32', oversample: (k) => k + OVERSAMPLING_MARGIN },
  /** One byte per number: a quarter of the memory. */
  sq8: { factory: () => 'SQ8', oversample: fourTimes },
  /** The quarter of the directions that vary most: a quarter of the memory, and less work. */
  pca: { factory: (dim) => `PCA${Math.ceil(dim / 4)},Flat`, oversample: fourTimes },
} as const satisfies Record<string, IndexKindSpec>;

/** Ways to search a large segment approximately, in less time or memory than exact search takes. */
export type IndexKind = keyof typeof KINDS;
export const INDEX_KINDS = Object.keys(KINDS) as IndexKind[];

/** The FAISS index factory string of a kind. */
export const factoryString = (kind: IndexKind, dim: number): string => KINDS[kind].factory(dim);

/** Candidates to request from an index of a kind for `k` results. */
export const oversample = (kind: IndexKind, k: number): number => KINDS[kind].oversample(k);
