import { readFile } from 'node:fs/promises';
import type { IndexKind } from '../../../common/index-kind.js';
import type { Modality } from '../../../common/modality.js';
import { assert } from '../../../lib/assert.js';
import { errorCode } from '../../../lib/fs.js';
import { type Checksum, readVerified } from '../snapshot/checksummed-file.js';
import { builtIndexLayout } from '../snapshot/layout.js';

/** The content of `<modality>.<kind>.json`: what was built, written once the index itself is on the disk. */
export interface BuiltIndex {
  kind: IndexKind;
  rows: number;
  /** Checksum of the index file; the field's name is part of the format. */
  seal: Checksum;
  /** Ratio of the 10 nearest that a search finds, against exact search; 1 is all. */
  recallAt10: number;
  buildMs: number;
}

/**
 * The approximate index that a snapshot holds, verified.
 * @returns undefined where none has been built
 * @throws Error when it is damaged
 */
export async function loadBuiltIndex(
  snapshotDir: string,
  modality: Modality,
  kind: IndexKind,
  rows: number,
): Promise<BuiltIndex | undefined> {
  const files = builtIndexLayout(snapshotDir, modality, kind);
  const text = await readFile(files.built, 'utf8').catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  });
  if (text === undefined) return undefined;
  const built = JSON.parse(text) as BuiltIndex;
  assert(built.kind === kind && built.rows === rows, 'an approximate index of another snapshot');
  await readVerified(files.index, built.seal);
  return built;
}
