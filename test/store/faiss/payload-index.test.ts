import { describe, expect, it } from 'vitest';
import { Columns } from '../../../src/store/faiss/query/payload-index.js';
import { compileFilter } from '../../../src/store/filter.js';
import { LIMITS } from '../../../src/store/limits.js';
import type { Filter, Metadata } from '../../../src/store/vector-store.js';

const FILTERS: Filter[] = [
  {},
  { colour: 'red' },
  { colour: { $ne: 'red' } },
  { colour: { $gt: 'blue' } },
  { colour: { $in: ['red', null, 3] } },
  { colour: { $nin: ['red'] }, year: { $lt: 2 } },
  { year: { $gte: 1, $lte: 3 } },
  { year: 1 },
  { year: '1' },
  { colour: { $exists: true } },
  { exif: { $exists: true } },
  { exif: { $ne: 'red' } },
  { 'exif.make': 'Leica' },
  { 'exif.lens.mm': { $gt: 30 } },
  { 'exif.dotted.name': 1 },
  { 'a.b': 'literal' },
  { 'a.b.c': 1 },
  { tags: { $exists: false } },
  { constructor: { $exists: true } },
  { __proto__x: { $exists: true } },
  { never: { $exists: false } },
  { never: null },
  { $or: [{ colour: 'red' }, { $not: { year: { $in: [1, 2] } } }] },
];

const ITEMS: Metadata[] = [
  {},
  { colour: 'red', year: 1 },
  { colour: null, year: '1', tags: ['red'] },
  { colour: 3, year: 2.5, exif: { make: 'Leica', lens: { mm: 35 } } },
  { colour: true, exif: 'red', 'exif.make': 'Leica' },
  { exif: { make: 'Nikon', 'dotted.name': 1 }, 'exif.make': 'Canon', 'exif.lens.mm': 'long' },
  { a: { b: 'nested' }, 'a.b': { c: 1 } },
  { a: { b: { c: 1 } }, year: -1e300 },
  { colour: { red: 1 }, 'a.b': 'literal' },
];

/** Every filter must say the same of columns as of the metadata itself. */
function expectSame(columns: Columns, items: readonly Metadata[]): void {
  for (const filter of FILTERS) {
    const asks = columns.asking(filter);
    const matches = compileFilter(filter);
    expect(items.map((_, row) => asks?.(row))).toEqual(items.map(matches));
  }
}

function columnsOf(items: readonly Metadata[]): Columns {
  const columns = new Columns();
  for (const [row, metadata] of items.entries()) columns.set(row, metadata);
  return columns;
}

describe('columns of metadata', () => {
  it('answer every filter as the metadata would', () => {
    expectSame(columnsOf(ITEMS), ITEMS);
  });

  it('go on doing so when rows move, and for rows that come then', () => {
    const columns = columnsOf(ITEMS);
    const kept = [1, 3, 4, 7, 8];
    columns.reorder(Uint32Array.from(kept));
    const items = kept.map((row) => ITEMS[row] as Metadata);
    expectSame(columns, items);
    for (const [row, metadata] of ITEMS.entries()) columns.set(kept.length + row, metadata);
    expectSame(columns, [...items, ...ITEMS]);
  });

  it('hold any number of different numbers', () => {
    const rows = LIMITS.columnValues + 1000;
    const columns = new Columns();
    for (let row = 0; row < rows; row++) columns.set(row, row % 10 === 0 ? {} : { time: row / 8 });
    const asks = columns.asking({ time: { $gte: 1000, $lt: 8192 } });
    const missing = columns.asking({ time: { $exists: false } });
    const moved = Uint32Array.of(0, 8001, rows - 1);
    for (const row of [0, 7999, 8001, 65_535, rows - 1, rows]) {
      const isThere = row % 10 !== 0 && row < rows;
      expect(asks?.(row)).toBe(isThere && row / 8 >= 1000 && row / 8 < 8192);
      expect(missing?.(row)).toBe(!isThere);
    }
    columns.reorder(moved);
    expect([0, 1, 2].map((row) => columns.asking({ time: { $gt: 1000 } })?.(row))).toEqual([false, true, true]);
  });

  it('leave filters to the metadata on fields of long strings, of too many strings, and on too many fields', () => {
    const long = columnsOf([{ caption: 'short' }, { caption: 'x'.repeat(LIMITS.columnCharacters + 1) }, { year: 1 }]);
    expect(long.asking({ caption: 'short' })).toBeUndefined();
    expect(long.asking({ $or: [{ year: 1 }, { caption: 'short' }] })).toBeUndefined();
    expect(long.asking({ year: 1 })?.(2)).toBe(true);

    const varied = new Columns();
    for (let row = 0; row <= LIMITS.columnValues; row++) varied.set(row, { name: `n${row}`, mixed: row });
    expect(varied.asking({ name: 'n1' })).toBeUndefined();
    expect(varied.asking({ mixed: 1 })?.(1)).toBe(true);
    varied.set(LIMITS.columnValues + 1, { mixed: 'a word' });
    expect(varied.asking({ mixed: 1 })).toBeUndefined();

    const many = new Columns();
    for (let field = 0; field <= LIMITS.columns; field++) many.set(0, { [`field-${field}`]: 1 });
    expect(many.asking({ 'field-0': 1 })?.(0)).toBe(true);
    expect(many.asking({ [`field-${LIMITS.columns}`]: 1 })).toBeUndefined();
    expect(many.asking({ never: 1 })).toBeUndefined();
  });
});
