import { readFile } from 'node:fs/promises';
import type { Approximation } from '../../../common/index-kind.js';
import type { Modality } from '../../../common/modality.js';
import { assert } from '../../../lib/assert.js';
import { errorCode } from '../../../lib/fs.js';
import { readSealed, type Seal } from '../snapshot/checksummed-file.js';
import { approximationLayout } from '../snapshot/layout.js';

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
