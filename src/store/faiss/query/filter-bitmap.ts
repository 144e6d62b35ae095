import { nextTurn } from '../../../lib/event-loop.js';
import { LIMITS } from '../../limits.js';
import type { Metadata } from '../../vector-store.js';
import type { Rows } from '../segment/rows.js';
import { type Selection, selects } from './compiled-filter.js';
import type { Columns } from './payload-index.js';

/** Rows examined between two turns of the event loop, by their metadata: some milliseconds. */
const SLICE_ROWS = 4096;
/** By their columns: a tenth of the time that FAISS takes to pass as many. */
const COLUMN_SLICE_ROWS = 1 << 20;

/** The rows that a filter examines: a segment, as far as filters need it. */
export interface FilteredRows {
  readonly rows: Rows;
  /** Row -> id; nothing where the row is deleted. */
  readonly ids: readonly (string | undefined)[];
  readonly columns: Columns;
  metadata(row: number): Buffer;
}

/**
 * Which rows of a shard a filter selects, one bit each. A row's metadata never changes (a
 * replaced item gets a new row), so what was found stays right, and rows that came since are
 * all that is left to examine. Dead rows may be marked: whoever reads the bits looks at the id too.
 */
export class Matches {
  #bits = new Uint8Array(0);
  #upTo = 0;
  count = 0;

  constructor(
    readonly selection: Selection,
    /** Whose numbers the bits go by: a snapshot that moves rows replaces them. */
    readonly rows: Rows,
  ) {}

  has(row: number): boolean {
    return ((this.#bits[row >> 3] as number) & (1 << (row & 7))) !== 0;
  }

  get isComplete(): boolean {
    return this.#upTo === this.rows.count;
  }

  /** Examines one slice of rows. */
  extend(shard: FilteredRows): void {
    const { baseCount, count } = this.rows;
    const from = this.#upTo;
    this.#reserve(count);
    const wants = shard.columns.asking(this.selection.filter);
    if (wants !== undefined) {
      const until = Math.min(from + COLUMN_SLICE_ROWS, count);
      for (let row = from; row < until; row++) if (wants(row)) this.#mark(row);
      this.#upTo = until;
      return;
    }
    const until = Math.min(from + SLICE_ROWS, from < baseCount ? baseCount : count);
    if (from < baseCount) this.#examineLines(from, until);
    else for (let row = from; row < until; row++) if (this.#selects(shard, row)) this.#mark(row);
    this.#upTo = until;
  }

  /** Rows of the snapshot: their lines lie together, so one search finds the next that can match. */
  #examineLines(from: number, until: number): void {
    const block = this.rows.lines(from, until - from);
    const { needle, matches } = this.selection;
    for (let row = from; row < until; row++) {
      if (needle !== undefined) {
        const found = block.bytes.indexOf(needle, block.start(row));
        if (found === -1) return;
        while (block.start(row + 1) <= found) row += 1;
      }
      const line = block.bytes.toString('utf8', block.start(row), block.start(row + 1));
      if (matches((JSON.parse(line) as { metadata: Metadata }).metadata)) this.#mark(row);
    }
  }

  #selects(shard: FilteredRows, row: number): boolean {
    return shard.ids[row] !== undefined && selects(this.selection, shard.metadata(row));
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

/** The filters a shard was asked of late. At 1,000,000 rows each takes 125 kB. */
export class MatchCache {
  readonly #kept = new Map<string, Matches>();

  /** What is known of a filter, if every row of the shard has been examined; a few new ones are on the spot. */
  known(shard: FilteredRows, selection: Selection): Matches | undefined {
    const found = this.#kept.get(selection.key);
    if (found === undefined || found.rows !== shard.rows) return undefined;
    if (!found.isComplete) found.extend(shard);
    return found.isComplete ? this.#keep(found) : undefined;
  }

  /** Examines every row, letting others have their turn in between. */
  async prepare(shard: FilteredRows, selection: Selection): Promise<Matches> {
    let matches = this.known(shard, selection);
    while (matches === undefined || !matches.isComplete) {
      // A snapshot that moved rows while others had their turn makes this begin again.
      if (matches?.rows !== shard.rows) matches = new Matches(selection, shard.rows);
      matches.extend(shard);
      await nextTurn();
    }
    return this.#keep(matches);
  }

  /** Brings what was prepared up to date, without a pause. */
  refresh(shard: FilteredRows, prepared: Matches): Matches {
    const matches = prepared.rows === shard.rows ? prepared : new Matches(prepared.selection, shard.rows);
    while (!matches.isComplete) matches.extend(shard);
    return this.#keep(matches);
  }

  /** As the one used last; the one not used for longest makes room. */
  #keep(matches: Matches): Matches {
    this.#kept.delete(matches.selection.key);
    this.#kept.set(matches.selection.key, matches);
    const [oldest] = this.#kept.keys();
    if (this.#kept.size > LIMITS.filtersKept) this.#kept.delete(oldest as string);
    return matches;
  }
}
