/**
 * Builds an approximate index from the vectors of a snapshot, in a process of its own: training
 * takes minutes, and faiss-node ends the process it runs in when the disk is full.
 *
 *   node build-process.js <snapshot folder> <modality> <kind> <dim> <rows>
 */
import { closeSync, fsyncSync, openSync, readSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { setPriority } from 'node:os';
import type { Index } from 'faiss-node';
import { factoryString, type IndexKind, oversample } from '../../../common/index-kind.js';
import type { Modality } from '../../../common/modality.js';
import { innerProduct } from '../../../common/vector.js';
import { assert } from '../../../lib/assert.js';
import { writeFileAtomically } from '../../../lib/fs.js';
import { checksumOf } from '../snapshot/checksummed-file.js';
import { builtIndexLayout, snapshotLayout } from '../snapshot/layout.js';
import type { BuiltIndex } from './built-index.js';
import { faiss } from './faiss-binding.js';
import { flatRowOffset } from './faiss-flat-file.js';
import { floats } from './flat-index.js';
import { withHnswParams } from './hnsw-params.js';

const TRAINING_ROWS = 50_000;
/** faiss-node takes JavaScript numbers: adding this many rows at a time bounds the memory they need. */
const CHUNK_ROWS = 1000;
const RECALL_QUERIES = 100;
const RECALL_AT = 10;
const LOWEST_PRIORITY = 19;

const [snapshotDir = '', modality = '', kind = '', dimText, rowsText] = process.argv.slice(2);
const dim = Number(dimText);
const rows = Number(rowsText);

/** Reads stored vectors by row. */
class Vectors {
  readonly #fd: number;

  constructor(file: string) {
    this.#fd = openSync(file, 'r');
  }

  read(from: number, count: number): Float32Array {
    const bytes = Buffer.from(new ArrayBuffer(4 * dim * count));
    const read = readSync(this.#fd, bytes, 0, bytes.length, flatRowOffset(dim, from));
    assert(read === bytes.length, 'a snapshot file that ends before its manifest says');
    return floats(bytes);
  }

  close(): void {
    closeSync(this.#fd);
  }
}

/** Evenly spread rows, at most `count`. */
function spread(count: number): number[] {
  const taken = Math.min(count, rows);
  return Array.from({ length: taken }, (_, i) => Math.floor((i * rows) / taken));
}

function train(index: Index, vectors: Vectors): void {
  if (index.isTrained()) return;
  const sample: number[] = [];
  for (const row of spread(TRAINING_ROWS)) for (const value of vectors.read(row, 1)) sample.push(value);
  index.train(sample);
}

function fill(index: Index, vectors: Vectors): void {
  for (let from = 0; from < rows; from += CHUNK_ROWS)
    index.add(Array.from(vectors.read(from, Math.min(CHUNK_ROWS, rows - from))));
  assert(index.ntotal() === rows, 'FAISS added another number of vectors than it received');
}

/** Measures the ratio of the nearest rows, the query's own aside, that a search of the store finds. */
function measureRecall(index: Index, exact: Index, vectors: Vectors): number {
  const found = spread(RECALL_QUERIES).map((row) => {
    const query = vectors.read(row, 1);
    const numbers = Array.from(query);
    const nearest = (labels: readonly number[]) => labels.filter((label) => label !== row && label >= 0);
    const truth = nearest(exact.search(numbers, Math.min(RECALL_AT + 1, rows)).labels).slice(0, RECALL_AT);
    const proposed = nearest(index.search(numbers, Math.min(oversample(kind as IndexKind, RECALL_AT), rows)).labels);
    const best = new Map(proposed.map((label) => [label, innerProduct(query, vectors.read(label, 1), 0)]));
    const ranked = [...best.keys()].sort((a, b) => (best.get(b) ?? 0) - (best.get(a) ?? 0)).slice(0, RECALL_AT);
    return ranked.filter((label) => truth.includes(label)).length / Math.max(1, truth.length);
  });
  return found.reduce((sum, ratio) => sum + ratio, 0) / found.length;
}

async function build(): Promise<void> {
  const startedMs = performance.now();
  const files = builtIndexLayout(snapshotDir, modality as Modality, kind as IndexKind);
  const flatFile = snapshotLayout(snapshotDir).vectors(modality as Modality);
  const vectors = new Vectors(flatFile);
  const factory = factoryString(kind as IndexKind, dim);
  const empty = faiss.Index.fromFactory(dim, factory, faiss.MetricType.METRIC_L2);
  const index = factory.startsWith('HNSW') ? withHnswParams(empty) : empty;
  train(index, vectors);
  fill(index, vectors);
  const recallAt10 = measureRecall(index, faiss.IndexFlatIP.read(flatFile), vectors);
  vectors.close();
  index.write(files.index);
  const handle = await open(files.index, 'r');
  fsyncSync(handle.fd);
  await handle.close();
  const buildMs = Math.round(performance.now() - startedMs);
  const built: BuiltIndex = { kind: kind as IndexKind, rows, seal: await checksumOf(files.index), recallAt10, buildMs };
  await writeFileAtomically(files.built, `${JSON.stringify(built)}\n`);
}

// Searches come first.
setPriority(LOWEST_PRIORITY);
// The process that needs the index has ended.
process.on('disconnect', () => process.exit(1));
await build();
process.exit(0);
