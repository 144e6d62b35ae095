import { closeSync, openSync, rmSync, writevSync } from 'node:fs';
import type { IndexFlatIP } from 'faiss-node';
import { OVERSAMPLING_MARGIN } from '../../../common/index-kind.js';
import { assert } from '../../../lib/assert.js';
import { faiss, releaseRecent } from './faiss-binding.js';
import { flatHeader } from './faiss-flat-file.js';
import type { Proposal, VectorIndex } from './vector-index.js';

/** From this many vectors on, a file is faster than passing a JavaScript number for each float. */
const ROWS_BY_FILE = 32;

/** From this size on, the temporary index of a file is worth a garbage collection once it is merged: 1 MB. */
const RELEASE_FLOATS = 250_000;

/** Exact search: FAISS compares a query with every row. */
export class FlatIndex implements VectorIndex {
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

  oversample(k: number): number {
    return k + OVERSAMPLING_MARGIN;
  }

  add(vectors: readonly Uint8Array[], scratch: string): void {
    const before = this.rows;
    if (vectors.length < ROWS_BY_FILE || !this.#addByFile(vectors, scratch)) this.#addByValue(vectors);
    else if (vectors.length * this.dim >= RELEASE_FLOATS) releaseRecent();
    assert(this.rows === before + vectors.length, 'FAISS added another number of vectors than it received');
  }

  #addByFile(vectors: readonly Uint8Array[], scratch: string): boolean {
    try {
      const fd = openSync(scratch, 'w');
      try {
        const header = flatHeader(this.dim, vectors.length);
        const expected = header.length + vectors.length * 4 * this.dim;
        if (writeBuffers(fd, [header, ...vectors]) !== expected) return false;
      } finally {
        closeSync(fd);
      }
      const part = faiss.IndexFlatIP.read(scratch);
      assert(part.ntotal() === vectors.length, 'FAISS read another number of vectors than were written');
      this.#index.mergeFrom(part);
      return true;
    } catch {
      // A disk that cannot be written must not stop reads: adding by value needs no file.
      return false;
    } finally {
      removeScratch(scratch);
    }
  }

  #addByValue(vectors: readonly Uint8Array[]): void {
    for (const bytes of vectors) this.#index.add(Array.from(floats(bytes)));
  }

  search(queries: readonly Float32Array[], fetch: number): Proposal[] {
    assert(fetch >= 1 && fetch <= this.rows, `${fetch} neighbours of ${this.rows} rows`);
    const padded = queries.length === 1 ? queries : padForBlas(queries);
    const flat: number[] = [];
    for (const query of padded) for (const value of query) flat.push(value);
    const { labels, distances } = this.#index.search(flat, fetch);
    assert(labels.length === padded.length * fetch, 'FAISS returned another number of neighbours than requested');
    return queries.map((_, i) => {
      const lowest = distances[(i + 1) * fetch - 1] as number;
      return {
        rows: labels.slice(i * fetch, (i + 1) * fetch),
        maxOmittedScore: fetch === this.rows ? -Infinity : lowest + roundingError(this.dim),
      };
    });
  }
}

/** A file that stays is replaced by the next one, and deleted at the next start. */
function removeScratch(scratch: string): void {
  try {
    rmSync(scratch, { force: true });
  } catch {}
}

/**
 * How far a float32 inner product of unit vectors can lie from the true one, in any order of
 * summation: gamma_n, times 2 for norms that are only nearly 1.
 * Source: N. J. Higham, Accuracy and Stability of Numerical Algorithms, section 3.1.
 */
const roundingError = (dim: number): number => 2 * dim * 2 ** -24;

/**
 * FAISS multiplies matrices only from 20 queries on (`distance_compute_blas_threshold`), which
 * costs it about as much as two queries one by one. So from two queries on, the last one is repeated up to 20.
 */
const BLAS_QUERIES = 20;

function padForBlas(queries: readonly Float32Array[]): Float32Array[] {
  const last = queries.at(-1) as Float32Array;
  return [...queries, ...new Array<Float32Array>(Math.max(0, BLAS_QUERIES - queries.length)).fill(last)];
}

/** `writev` takes at most 1,024 buffers a call. */
const WRITEV_BUFFERS = 1024;

function writeBuffers(fd: number, buffers: readonly Uint8Array[]): number {
  let written = 0;
  for (let i = 0; i < buffers.length; i += WRITEV_BUFFERS)
    written += writevSync(fd, buffers.slice(i, i + WRITEV_BUFFERS));
  return written;
}

/** A float view of stored bytes, copied only where they do not start at a multiple of 4. */
export function floats(bytes: Uint8Array): Float32Array {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : new Uint8Array(bytes);
  return new Float32Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / 4);
}
