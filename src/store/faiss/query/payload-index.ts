import { compileTree, MISSING, type Test } from '../../filter.js';
import { LIMITS } from '../../limits.js';
import type { Filter, Metadata } from '../../vector-store.js';

/** Whether a filter selects a row. */
export type RowTest = (row: number) => boolean;

/** Represents an object or a list, which exists but equals nothing that a filter can name. */
const NOT_SCALAR = Symbol('not a scalar');

/** The values of one metadata field, by row. */
interface Column {
  /** @returns false when the column cannot hold the value; it is then no longer used */
  set(row: number, value: unknown): boolean;
  rowTest(test: Test): RowTest;
  /** Row n becomes what row `rows[n]` was. */
  reorder(rows: Uint32Array): void;
}

/**
 * The scalar fields of metadata in columns, so that filters are answered without reading metadata: top-level
 * fields and, as `exif.make`, fields of objects in them. A row takes 2 bytes per field of at most 65,535 different
 * values, and 8 per field of more numbers. Not indexed are fields of more strings than that, fields with strings
 * longer than `LIMITS.columnCharacters`, and fields beyond `LIMITS.columns`: filters on those read the metadata.
 */
export class PayloadIndex {
  /** Undefined for a field that no column can hold. */
  readonly #columns = new Map<string, Column | undefined>();
  #isFull = false;

  /** Indexes the fields of a row under the names that filters use. */
  set(row: number, metadata: Metadata): void {
    for (const name of Object.keys(metadata)) {
      if (name.startsWith('$')) continue;
      const value = metadata[name];
      this.#set(row, name, scalarOf(value));
      if (isObject(value) && !name.includes('.')) this.#setNested(row, name, value, metadata);
    }
  }

  /** A top-level name takes precedence over a path of the same spelling; no filter can name a nested field with a dot. */
  #setNested(row: number, path: string, object: Metadata, whole: Metadata): void {
    for (const name of Object.keys(object)) {
      if (name.includes('.')) continue;
      const field = `${path}.${name}`;
      const value = object[name];
      if (!Object.hasOwn(whole, field)) this.#set(row, field, scalarOf(value));
      if (isObject(value)) this.#setNested(row, field, value, whole);
    }
  }

  #set(row: number, field: string, value: unknown): void {
    let column = this.#columns.get(field);
    if (column === undefined) {
      if (this.#columns.has(field)) return;
      if (this.#columns.size === LIMITS.columns) {
        this.#isFull = true;
        return;
      }
      column = new CodedColumn();
      this.#columns.set(field, column);
    }
    if (column.set(row, value)) return;
    const numbers = column instanceof CodedColumn ? column.toNumbers() : undefined;
    this.#columns.set(field, numbers?.set(row, value) === true ? numbers : undefined);
  }

  /** Compiles a filter to a test of rows, later ones included; undefined where it needs a field that is not indexed. */
  rowTest(filter: Filter): RowTest | undefined {
    let isIndexed = true;
    const rowTest = compileTree<number>(filter, (field, test) => {
      const column = this.#columns.get(field);
      if (column !== undefined) return column.rowTest(test);
      // No row has such a field, unless there was no column for it.
      isIndexed &&= !this.#isFull && !this.#columns.has(field);
      const answer = test(MISSING);
      return () => answer;
    });
    return isIndexed ? rowTest : undefined;
  }

  /** Row n becomes what row `rows[n]` was. */
  reorder(rows: Uint32Array): void {
    for (const column of this.#columns.values()) column?.reorder(rows);
  }
}

/** At most 65,535 different values, each stored once (dictionary encoding). */
class CodedColumn implements Column {
  /** 0 where a row lacks the field; shorter than the number of rows where the last ones lack it. */
  #codes = new Uint16Array(0);
  readonly #values: unknown[] = [MISSING];
  readonly #codeOf = new Map<unknown, number>();

  set(row: number, value: unknown): boolean {
    const code = this.#codeOf.get(value) ?? this.#add(value);
    if (code === undefined) return false;
    if (row >= this.#codes.length) this.#codes = grown(this.#codes, new Uint16Array(roomFor(row)));
    this.#codes[row] = code;
    return true;
  }

  #add(value: unknown): number | undefined {
    const code = this.#values.length;
    if (code > LIMITS.columnValues) return undefined;
    if (typeof value === 'string' && value.length > LIMITS.columnCharacters) return undefined;
    this.#values.push(value);
    this.#codeOf.set(value, code);
    return code;
  }

  /** Each value is tested once, when a row first has it. */
  rowTest(test: Test): RowTest {
    const answers: (boolean | undefined)[] = [];
    return (row) => {
      const code = this.#codes[row] ?? 0;
      let answer = answers[code];
      if (answer === undefined) {
        answer = test(this.#values[code]);
        answers[code] = answer;
      }
      return answer;
    };
  }

  reorder(rows: Uint32Array): void {
    const { length } = this.#codes;
    this.#codes = Uint16Array.from(rows, (row) => (row < length ? (this.#codes[row] as number) : 0));
  }

  /** The same values as numbers; undefined where one of them is not a number. */
  toNumbers(): NumberColumn | undefined {
    if (this.#values.some((value) => value !== MISSING && typeof value !== 'number')) return undefined;
    return new NumberColumn(
      Float64Array.from(this.#codes, (code) => (code === 0 ? Number.NaN : (this.#values[code] as number))),
    );
  }
}

/** Any number of different numbers, such as times. */
class NumberColumn implements Column {
  /** NaN, which JSON cannot hold, where a row lacks the field. */
  #numbers: Float64Array<ArrayBuffer>;

  constructor(numbers: Float64Array<ArrayBuffer>) {
    this.#numbers = numbers;
  }

  set(row: number, value: unknown): boolean {
    if (typeof value !== 'number') return false;
    if (row >= this.#numbers.length)
      this.#numbers = grown(this.#numbers, new Float64Array(roomFor(row)).fill(Number.NaN));
    this.#numbers[row] = value;
    return true;
  }

  rowTest(test: Test): RowTest {
    const answerMissing = test(MISSING);
    return (row) => {
      const value = this.#numbers[row] ?? Number.NaN;
      return Number.isNaN(value) ? answerMissing : test(value);
    };
  }

  reorder(rows: Uint32Array): void {
    const { length } = this.#numbers;
    this.#numbers = Float64Array.from(rows, (row) => (row < length ? (this.#numbers[row] as number) : Number.NaN));
  }
}

/** A quarter more than needed, so that growing is rare. */
const roomFor = (row: number): number => Math.ceil((5 * (row + 1)) / 4);

function grown<A extends Uint16Array | Float64Array>(old: A, larger: A): A {
  larger.set(old);
  return larger;
}

const scalarOf = (value: unknown): unknown => (typeof value === 'object' && value !== null ? NOT_SCALAR : value);

const isObject = (value: unknown): value is Metadata =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
