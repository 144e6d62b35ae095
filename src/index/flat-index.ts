import { closeSync, openSync, rmSync, writevSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { IndexFlatIP } from 'faiss-node';
import { assert } from './assert.js';
import { flatHeader } from './flat-file.js';

// Loaded here only, in one thread of the process: faiss-node keeps the class that its `read`
// builds in a variable of the process, which the last thread to load it overwrites.
const faiss = createRequire(import.meta.url)('faiss-node') as typeof import('faiss-node');

/** From this many vectors on a file is quicker than handing over a JavaScript number for each float. */
const ROWS_BY_FILE = 32;

/** Rows of equal length, compared by inner product; a row's label is its position. */
export class FlatIndex {
  #index: IndexFlatIP;

  private constructor(
    readonly dim: number,
    index: IndexFlatIP,
  ) {
    this.#index = index;
  }

  static empty(dim: number): FlatIndex {
    return new FlatIndex(dim, new faiss.IndexFlatIP(dim));
  }

  /** Blocks while FAISS reads the file. */
  static read(file: string, dim: number, rows: number): FlatIndex {
    const index = faiss.IndexFlatIP.read(file);
    assert(index.getDimension() === dim, 'a FAISS file of another dimension than its manifest says');
    assert(index.ntotal() === rows, 'a FAISS file of another length than its manifest says');
    return new FlatIndex(dim, index);
  }

  get rows(): number {
    return this.#index.ntotal();
  }

  /**
   * @param vectors float32 bytes of whole rows
   * @param scratch path of a file this may write and remove
   */
  add(vectors: readonly Uint8Array[], scratch: string): void {
    const before = this.rows;
    if (vectors.length < ROWS_BY_FILE || !this.#addByFile(vectors, scratch)) this.#addByValue(vectors);
    assert(this.rows === before + vectors.length, 'FAISS took another number of vectors than it was given');
  }

  #addByFile(vectors: readonly Uint8Array[], scratch: string): boolean {
    try {
      const fd = openSync(scratch, 'w');
      try {
        const header = flatHeader(this.dim, vectors.length);
        const expected = header.length + vectors.length * 4 * this.dim;
        if (writeRuns(fd, [header, ...vectors]) !== expected) return false;
      } finally {
        closeSync(fd);
      }
      const part = faiss.IndexFlatIP.read(scratch);
      assert(part.ntotal() === vectors.length, 'FAISS read another number of vectors than were written');
      this.#index.mergeFrom(part);
      return true;
    } catch {
      // A full disk must not stop reads: the slow way needs no file.
      return false;
    } finally {
      rmSync(scratch, { force: true });
    }
  }

  #addByValue(vectors: readonly Uint8Array[]): void {
    for (const bytes of vectors) this.#index.add(Array.from(floats(bytes)));
  }

  /**
   * The `fetch` nearest rows of each query in one FAISS call, best first.
   * @param queries at least one; `fetch` is between 1 and `rows`
   */
  search(queries: readonly Float32Array[], fetch: number): { rows: number[]; scores: number[] }[] {
    assert(fetch >= 1 && fetch <= this.rows, `${fetch} neighbours of ${this.rows} rows`);
    const asked = queries.length === 1 ? queries : padded(queries);
    const flat: number[] = [];
    for (const query of asked) for (const value of query) flat.push(value);
    const { labels, distances } = this.#index.search(flat, fetch);
    assert(labels.length === asked.length * fetch, 'FAISS gave another number of neighbours than asked for');
    return queries.map((_, i) => ({
      rows: labels.slice(i * fetch, (i + 1) * fetch),
      scores: distances.slice(i * fetch, (i + 1) * fetch),
    }));
  }
}

/**
 * FAISS multiplies matrices only from 20 queries on (`distance_compute_blas_threshold`), which
 * costs it about as much as two queries one by one. So from two on, the last is repeated up to 20.
 */
const BLAS_QUERIES = 20;

function padded(queries: readonly Float32Array[]): Float32Array[] {
  const last = queries.at(-1) as Float32Array;
  return [...queries, ...new Array<Float32Array>(Math.max(0, BLAS_QUERIES - queries.length)).fill(last)];
}

/** `writev` takes at most 1,024 buffers a call. */
const RUN = 1024;

function writeRuns(fd: number, buffers: readonly Uint8Array[]): number {
  let written = 0;
  for (let i = 0; i < buffers.length; i += RUN) written += writevSync(fd, buffers.slice(i, i + RUN));
  return written;
}

/** A float view of stored bytes, copied only where they do not start at a multiple of 4. */
export function floats(bytes: Uint8Array): Float32Array {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : new Uint8Array(bytes);
  return new Float32Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / 4);
}
