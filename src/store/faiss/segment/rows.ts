import { assert } from '../../../lib/assert.js';
import { floats } from '../ann/flat-index.js';
import { Arena } from './arena.js';
import type { BaseRows, Lines } from './snapshot-rows.js';

/**
 * Vectors and metadata by row number: first the rows of the last snapshot, on disk, then those
 * written since, in memory outside the JavaScript heap. Rows are only ever appended.
 */
export class Rows {
  readonly #tail = new Arena();
  readonly #starts: number[] = [];
  readonly #metadataBytes: number[] = [];

  constructor(
    readonly dim: number,
    readonly base: BaseRows | undefined,
  ) {}

  get baseCount(): number {
    return this.base?.count ?? 0;
  }

  get count(): number {
    return this.baseCount + this.#starts.length;
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
    if (this.base !== undefined && from + count <= this.baseCount) return this.base.vectors(from, count);
    if (count === 1) return this.#tail.view(this.#start(from), 4 * this.dim);
    return Buffer.concat(Array.from({ length: count }, (_, i) => this.vectors(from + i, 1)));
  }

  /** The floats of one row, to be looked at before the next call. */
  peek(row: number): Float32Array {
    if (this.base !== undefined && row < this.baseCount) return this.base.peek(row);
    return floats(this.vectors(row, 1));
  }

  /** Metadata as UTF-8 JSON. The caller knows the id of the row. */
  metadata(row: number, id: string): Buffer {
    if (this.base !== undefined && row < this.baseCount) return this.base.metadata(row, id);
    const bytes = this.#metadataBytes[row - this.baseCount];
    assert(bytes !== undefined, `row ${row} of ${this.count}`);
    return this.#tail.view(this.#start(row) + 4 * this.dim, bytes);
  }

  /** Appends rows of another, which must have come after its snapshot. */
  appendFrom(other: Rows, from: number, until: number): void {
    assert(from >= other.baseCount && until <= other.count, 'rows to take over that are not in memory');
    // Such rows need no id to find their metadata.
    for (let row = from; row < until; row++) this.append(other.vectors(row, 1), other.metadata(row, ''));
  }

  /** The sidecar's lines of consecutive rows, all in the snapshot. */
  lines(from: number, count: number): Lines {
    assert(this.base !== undefined && from + count <= this.baseCount, 'lines of rows that are not in the snapshot');
    return this.base.lines(from, count);
  }

  close(): void {
    this.base?.close();
  }

  #start(row: number): number {
    const start = this.#starts[row - this.baseCount];
    assert(start !== undefined, `row ${row} of ${this.count}`);
    return start;
  }
}
