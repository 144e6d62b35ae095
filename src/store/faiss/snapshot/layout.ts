import path from 'node:path';
import type { IndexKind } from '../../../common/index-kind.js';
import type { Modality } from '../../../common/modality.js';

/**
 * The folder of an index. Generation g is a snapshot and the write-ahead log of the writes after it;
 * generation 0 has no snapshot, because it starts empty.
 *
 *   index.json                 format version, and the model whose vectors these are
 *   lock-holder                locked by the process that has the folder open
 *   originals/<ab>/<sha256>    files that items were made from, where they are kept
 *   journal-<g>                write-ahead log: every write since snapshot g
 *   snapshot-<g>/manifest.json row counts, lengths and checksums of the files beside it:
 *     <modality>.faiss         vectors, a FAISS file
 *     <modality>.jsonl         ids and metadata, one line per vector
 *     <modality>.<kind>.faiss  an approximate index of the vectors, built later
 *     <modality>.<kind>.json   its length and checksum, written last
 */
export const layout = (dir: string) => ({
  index: path.join(dir, 'index.json'),
  wal: (generation: number) => path.join(dir, `journal-${pad(generation)}`),
  snapshot: (generation: number) => path.join(dir, `snapshot-${pad(generation)}`),
  originals: path.join(dir, 'originals'),
  scratch: (modality: Modality) => path.join(dir, `${modality}.tmp`),
});

export const snapshotLayout = (dir: string) => ({
  manifest: path.join(dir, 'manifest.json'),
  vectors: (modality: Modality) => path.join(dir, `${modality}.faiss`),
  lines: (modality: Modality) => path.join(dir, `${modality}.jsonl`),
});

export const builtIndexLayout = (snapshotDir: string, modality: Modality, kind: IndexKind) => ({
  index: path.join(snapshotDir, `${modality}.${kind}.faiss`),
  built: path.join(snapshotDir, `${modality}.${kind}.json`),
});

/** The write-ahead log or snapshot that a name in the folder belongs to; undefined for any other name. */
export function parseName(name: string): { kind: 'wal' | 'snapshot'; generation: number } | undefined {
  const match = /^(journal|snapshot)-(\d{9})$/.exec(name);
  if (match === null) return undefined;
  return { kind: match[1] === 'journal' ? 'wal' : 'snapshot', generation: Number(match[2]) };
}

/** Left by a crash in the middle of writing; never part of the index. */
export const isLeftover = (name: string): boolean => name.endsWith('.tmp');

const pad = (generation: number): string => String(generation).padStart(9, '0');
