import path from 'node:path';
import type { Approximation } from '../../../common/index-kind.js';
import type { Modality } from '../../../common/modality.js';

/**
 * The folder of an index. Generation g is a snapshot and the journal of what came after it;
 * generation 0 has no snapshot, because it starts empty.
 *
 *   index.json                 format, and the model whose vectors these are
 *   lock-<random>              who has the folder open
 *   originals/<ab>/<sha256>    files that items were made from, where they are kept
 *   journal-<g>                every write since snapshot g
 *   snapshot-<g>/manifest.json lengths and checksums of the files beside it:
 *     <modality>.faiss         vectors, a FAISS file
 *     <modality>.jsonl         ids and metadata, a line for each vector
 *     <modality>.<kind>.faiss  an approximate index of the vectors, built later; <modality>.<kind>.json seals it
 */
export const layout = (dir: string) => ({
  index: path.join(dir, 'index.json'),
  journal: (generation: number) => path.join(dir, `journal-${pad(generation)}`),
  snapshot: (generation: number) => path.join(dir, `snapshot-${pad(generation)}`),
  originals: path.join(dir, 'originals'),
  scratch: (modality: Modality) => path.join(dir, `${modality}.tmp`),
});

export const snapshotLayout = (dir: string) => ({
  manifest: path.join(dir, 'manifest.json'),
  vectors: (modality: Modality) => path.join(dir, `${modality}.faiss`),
  lines: (modality: Modality) => path.join(dir, `${modality}.jsonl`),
});

export const approximationLayout = (snapshotDir: string, modality: Modality, kind: Approximation) => ({
  index: path.join(snapshotDir, `${modality}.${kind}.faiss`),
  built: path.join(snapshotDir, `${modality}.${kind}.json`),
});

/** What a name in the folder is, or nothing where it is none of ours. */
export function parseName(name: string): { kind: 'journal' | 'snapshot'; generation: number } | undefined {
  const match = /^(journal|snapshot)-(\d{9})$/.exec(name);
  if (match === null) return undefined;
  return { kind: match[1] as 'journal' | 'snapshot', generation: Number(match[2]) };
}

/** Left by a crash in the middle of writing; never part of the index. */
export const isLeftover = (name: string): boolean => name.endsWith('.tmp');

const pad = (generation: number): string => String(generation).padStart(9, '0');
