import { readFile } from 'node:fs/promises';
import type { Modality } from '../../../common/modality.js';
import type { Approximation } from '../../../config.js';
import { assert } from '../../../lib/assert.js';
import { errorCode } from '../../../lib/fs.js';
import { readSealed, type Seal } from '../snapshot/checksummed-file.js';
import { approximationLayout } from '../snapshot/layout.js';

export type { Approximation };

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

/** What the builder leaves beside its index, once that is safe on disk. */
export interface Built {
  kind: Approximation;
  rows: number;
  seal: Seal;
  /** Share of the 10 nearest that a search finds, against exact search; 1 is all. */
  recallAt10: number;
  buildMs: number;
}

/**
 * What a snapshot holds of an approximation, verified.
 * @returns nothing where it has not been built
 * @throws Error when it is damaged
 */
export async function loadBuilt(
  snapshotDir: string,
  modality: Modality,
  kind: Approximation,
  rows: number,
): Promise<Built | undefined> {
  const files = approximationLayout(snapshotDir, modality, kind);
  const text = await readFile(files.built, 'utf8').catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  });
  if (text === undefined) return undefined;
  const built = JSON.parse(text) as Built;
  assert(built.kind === kind && built.rows === rows, 'an approximation of another snapshot');
  await readSealed(files.index, built.seal);
  return built;
}
