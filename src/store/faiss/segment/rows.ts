import { assert } from '../../../lib/assert.js';
import { floats } from '../ann/flat-index.js';
import { Arena } from './arena.js';
import type { MetadataLines, SnapshotRows } from './snapshot-rows.js';

/**
 * Vectors and metadata by row number: first the rows of the last snapshot, on disk, then the
 * rows after them, in memory outside the JavaScript heap. Rows are only ever appended.
 */
export class Rows {
  readonly #tail = new Arena();
  readonly #starts: number[] = [];
  readonly #metadataBytes: number[] = [];

  constructor(
    readonly dim: number,
    readonly snapshotRows: SnapshotRows | undefined,
  ) {}

  get snapshotCount(): number {
    return this.snapshotRows?.count ?? 0;
  }

  get count(): number {
    return this.snapshotCount + this.#starts.length;
  }

  /** @returns the number of the new row */
  append(vector: Uint8Array, metadata: Uint8Array): number {
    assert(vector.length === 4 * this.dim, 'a vector of another dimension than the index');
    this.#starts.push(this.#tail.append([vector, metadata]));
    this.#metadataBytes.push(metadata.length);
    return this.count - 1;
  }

  /** The float32 bytes of consecutive rows, all in the snapshot or all after it. */
  vectors(from: number, count: number): Buffer {
    assert(from >= 0 && from + count <= this.count, `rows ${from} to ${from + count} of ${this.count}`);
    if (this.snapshotRows !== undefined && from + count <= this.snapshotCount)
      return this.snapshotRows.vectors(from, count);
    if (count === 1) return this.#tail.view(this.#start(from), 4 * this.dim);
    return Buffer.concat(Array.from({ length: count }, (_, i) => this.vectors(from + i, 1)));
  }

  /** The floats of one row, valid until the next call. */
  peek(row: number): Float32Array {
    if (this.snapshotRows !== undefined && row < this.snapshotCount) return this.snapshotRows.peek(row);
    return floats(this.vectors(row, 1));
  }

  /** Metadata as UTF-8 JSON. @param id of the row, which says where in its line the metadata starts */
  metadata(row: number, id: string): Buffer {
    if (this.snapshotRows !== undefined && row < this.snapshotCount) return this.snapshotRows.metadata(row, id);
    const bytes = this.#metadataBytes[row - this.snapshotCount];
    assert(bytes !== undefined, `row ${row} of ${this.count}`);
    return this.#tail.view(this.#start(row) + 4 * this.dim, bytes);
  }

  /** Appends rows of another collection of rows that are not in its snapshot. */
  appendFrom(other: Rows, from: number, until: number): void {
    assert(from >= other.snapshotCount && until <= other.count, 'rows to append that are not in memory');
    // In memory, metadata is found without the id.
    for (let row = from; row < until; row++) this.append(other.vectors(row, 1), other.metadata(row, ''));
  }

  /** The metadata lines of consecutive rows, all in the snapshot. */
  lines(from: number, count: number): MetadataLines {
    assert(
      this.snapshotRows !== undefined && from + count <= this.snapshotCount,
      'lines of rows that are not in the snapshot',
    );
    return this.snapshotRows.lines(from, count);
  }

  close(): void {
    this.snapshotRows?.close();
  }

  #start(row: number): number {
    const start = this.#starts[row - this.snapshotCount];
    assert(start !== undefined, `row ${row} of ${this.count}`);
    return start;
  }
}
