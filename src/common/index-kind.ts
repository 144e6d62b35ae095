/** Ways to search a large shard in less time or memory than exactly. */
export const APPROXIMATIONS = ['hnsw', 'sq8', 'pca'] as const;
export type Approximation = (typeof APPROXIMATIONS)[number];

/**
 * The FAISS description of an index.
 *   hnsw  a graph over whole vectors (Malkov and Yashunin, https://arxiv.org/abs/1603.09320): quick, and larger
 *   sq8   a byte for each number: a quarter of the memory
 *   pca   the quarter of the directions that vary most: a quarter of the memory, less work
 */
export const factoryOf = (kind: Approximation, dim: number): string =>
  ({ hnsw: 'HNSW32', sq8: 'SQ8', pca: `PCA${Math.ceil(dim / 4)},Flat` })[kind];

/**
 * Neighbours to ask for: an approximate order is right only roughly, and what is asked for is
 * scored again exactly. HNSW compares whole vectors, so its order is right.
 */
export const approximateFetch = (kind: Approximation, k: number): number =>
  kind === 'hnsw' ? k + 16 : Math.max(128, 4 * (k + 16));
