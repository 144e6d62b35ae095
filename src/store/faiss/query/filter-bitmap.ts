import { yieldToEventLoop } from '../../../lib/async/event-loop.js';
import { LIMITS } from '../../limits.js';
import type { Metadata } from '../../vector-store.js';
import type { Rows } from '../segment/rows.js';
import { type CompiledFilter, selects } from './compiled-filter.js';
import type { PayloadIndex } from './payload-index.js';

/** Rows whose metadata is examined between two turns of the event loop: some milliseconds. */
const SLICE_ROWS = 4096;
/** The same by the payload index: a tenth of the time that FAISS takes to scan as many. */
const INDEXED_SLICE_ROWS = 1 << 20;

/** What a filter examines: the rows of a segment. */
export interface FilteredRows {
  readonly rows: Rows;
  /** Row -> id; undefined for a tombstone. */
  readonly ids: readonly (string | undefined)[];
  readonly payloadIndex: PayloadIndex;
  metadata(row: number): Buffer;
}

/**
 * Which rows of a segment a filter selects, one bit each. A row's metadata never changes (a replaced item gets a
 * new row), so bits stay right, and only rows added since need examining. Tombstones may be marked: readers of
 * the bits check the row's id too.
 */
export class FilterBitmap {
  #bits = new Uint8Array(0);
  #examined = 0;
  /** Rows selected so far. */
  count = 0;

  constructor(
    readonly filter: CompiledFilter,
    /** The rows that the bits are numbered by; a snapshot that moves rows replaces them. */
    readonly rows: Rows,
  ) {}

  has(row: number): boolean {
    return ((this.#bits[row >> 3] as number) & (1 << (row & 7))) !== 0;
  }

  get isComplete(): boolean {
    return this.#examined === this.rows.count;
  }

  /** Examines one slice of rows. */
  extend(segment: FilteredRows): void {
    const { snapshotCount, count } = this.rows;
    const from = this.#examined;
    this.#reserve(count);
    const rowTest = segment.payloadIndex.rowTest(this.filter.filter);
    if (rowTest !== undefined) {
      const until = Math.min(from + INDEXED_SLICE_ROWS, count);
      for (let row = from; row < until; row++) if (rowTest(row)) this.#mark(row);
      this.#examined = until;
      return;
    }
    const until = Math.min(from + SLICE_ROWS, from < snapshotCount ? snapshotCount : count);
    if (from < snapshotCount) this.#examineLines(from, until);
    else for (let row = from; row < until; row++) if (this.#selects(segment, row)) this.#mark(row);
    this.#examined = until;
  }

  /** The lines of snapshot rows are consecutive, so one search of the prefilter finds the next that can match. */
  #examineLines(from: number, until: number): void {
    const lines = this.rows.lines(from, until - from);
    const { prefilter, matches } = this.filter;
    for (let row = from; row < until; row++) {
      if (prefilter !== undefined) {
        const found = lines.bytes.indexOf(prefilter, lines.start(row));
        if (found === -1) return;
        while (lines.start(row + 1) <= found) row += 1;
      }
      const line = lines.bytes.toString('utf8', lines.start(row), lines.start(row + 1));
      if (matches((JSON.parse(line) as { metadata: Metadata }).metadata)) this.#mark(row);
    }
  }

  #selects(segment: FilteredRows, row: number): boolean {
    return segment.ids[row] !== undefined && selects(this.filter, segment.metadata(row));
  }

  #mark(row: number): void {
    this.#bits[row >> 3] = (this.#bits[row >> 3] as number) | (1 << (row & 7));
    this.count += 1;
  }

  #reserve(rows: number): void {
    if (this.#bits.length * 8 >= rows) return;
    const grown = new Uint8Array(Math.ceil((rows * 5) / 32));
    grown.set(this.#bits);
    this.#bits = grown;
  }
}

/** The bitmaps of the filters a segment was last searched with. At 1,000,000 rows each takes 125 kB. */
export class FilterBitmapCache {
  readonly #cached = new Map<string, FilterBitmap>();

  /** The bitmap of a filter if every row has been examined, or one slice completes it. */
  known(segment: FilteredRows, filter: CompiledFilter): FilterBitmap | undefined {
    const found = this.#cached.get(filter.key);
    if (found === undefined || found.rows !== segment.rows) return undefined;
    if (!found.isComplete) found.extend(segment);
    return found.isComplete ? this.#touch(found) : undefined;
  }

  /** Examines every row, and yields to the event loop between slices. */
  async prepare(segment: FilteredRows, filter: CompiledFilter): Promise<FilterBitmap> {
    let bitmap = this.known(segment, filter);
    while (bitmap === undefined || !bitmap.isComplete) {
      // A snapshot that moved rows in between makes this start again.
      if (bitmap?.rows !== segment.rows) bitmap = new FilterBitmap(filter, segment.rows);
      bitmap.extend(segment);
      await yieldToEventLoop();
    }
    return this.#touch(bitmap);
  }

  /** Brings a prepared bitmap up to date, synchronously. */
  refresh(segment: FilteredRows, prepared: FilterBitmap): FilterBitmap {
    const bitmap = prepared.rows === segment.rows ? prepared : new FilterBitmap(prepared.filter, segment.rows);
    while (!bitmap.isComplete) bitmap.extend(segment);
    return this.#touch(bitmap);
  }

  /** Makes it the most recently used; the least recently used is dropped where there are too many. */
  #touch(bitmap: FilterBitmap): FilterBitmap {
    this.#cached.delete(bitmap.filter.key);
    this.#cached.set(bitmap.filter.key, bitmap);
    const [oldest] = this.#cached.keys();
    if (this.#cached.size > LIMITS.filtersKept) this.#cached.delete(oldest as string);
    return bitmap;
  }
}
