import { closeSync, openSync, readSync } from 'node:fs';
import type { Modality } from '../../../common/modality.js';
import { assert } from '../../../lib/assert.js';
import { flatRowOffset } from '../ann/faiss-flat-file.js';
import { snapshotLayout } from '../snapshot/layout.js';
import { metadataOfLine } from '../snapshot/metadata-line.js';

/** Consecutive lines, and where among their bytes the line of a row starts. */
export interface MetadataLines {
  bytes: Buffer;
  start: (row: number) => number;
}

/**
 * The rows of a snapshot, on disk: vectors in the FAISS file, metadata in the JSON Lines beside it.
 * Memory holds only where each line starts (8 bytes a row); the page cache holds the rest.
 */
export class SnapshotRows {
  readonly #vectors: number;
  readonly #lines: number;
  readonly #floats: Float32Array;
  /** The bytes of `#floats`. */
  readonly #peeked: Uint8Array;

  /**
   * @param lineStarts byte at which each line starts, and last the length of the file
   */
  constructor(
    readonly files: { vectors: string; lines: string },
    readonly dim: number,
    readonly lineStarts: Float64Array,
  ) {
    this.#vectors = openSync(files.vectors, 'r');
    try {
      this.#lines = openSync(files.lines, 'r');
    } catch (error) {
      closeSync(this.#vectors);
      throw error;
    }
    this.#floats = new Float32Array(dim);
    this.#peeked = new Uint8Array(this.#floats.buffer);
  }

  get count(): number {
    return this.lineStarts.length - 1;
  }

  /** The float32 bytes of consecutive rows. */
  vectors(from: number, count: number): Buffer {
    return readExactly(this.#vectors, flatRowOffset(this.dim, from), 4 * this.dim * count);
  }

  /** One row's floats, in a buffer that the next call overwrites. */
  peek(row: number): Float32Array {
    fill(this.#vectors, this.#peeked, flatRowOffset(this.dim, row));
    return this.#floats;
  }

  /** Consecutive lines, in one read. */
  lines(from: number, count: number): MetadataLines {
    const start = this.#lineStart(from);
    const bytes = Buffer.allocUnsafe(this.#lineStart(from + count) - start);
    fill(this.#lines, bytes, start);
    return { bytes, start: (row) => this.#lineStart(row) - start };
  }

  metadata(row: number, id: string): Buffer {
    return metadataOfLine(this.lines(row, 1).bytes, id);
  }

  close(): void {
    closeSync(this.#vectors);
    closeSync(this.#lines);
  }

  #lineStart(row: number): number {
    const start = this.lineStarts[row];
    assert(start !== undefined, `row ${row} of a snapshot of ${this.count}`);
    return start;
  }
}

/** Opens the files of one segment of the snapshot in `dir`. */
export function openSnapshotRows(dir: string, modality: Modality, dim: number, lineStarts: Float64Array): SnapshotRows {
  const files = snapshotLayout(dir);
  return new SnapshotRows({ vectors: files.vectors(modality), lines: files.lines(modality) }, dim, lineStarts);
}

/** Allocates memory of its own, not a slice of Node's pool: floats in it are aligned. */
function readExactly(fd: number, position: number, bytes: number): Buffer {
  const buffer = Buffer.from(new ArrayBuffer(bytes));
  fill(fd, buffer, position);
  return buffer;
}

function fill(fd: number, buffer: Uint8Array, position: number): void {
  let done = 0;
  while (done < buffer.length) {
    const read = readSync(fd, buffer, done, buffer.length - done, position + done);
    assert(read > 0, 'a snapshot file that ends before its manifest says');
    done += read;
  }
}
