import { describe, expect, it } from 'vitest';
import { PayloadIndex } from '../../../src/store/faiss/query/payload-index.js';
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

/** Every filter must select the same rows by the index as by the metadata itself. */
function expectSame(index: PayloadIndex, items: readonly Metadata[]): void {
  for (const filter of FILTERS) {
    const rowTest = index.rowTest(filter);
    const matches = compileFilter(filter);
    expect(items.map((_, row) => rowTest?.(row))).toEqual(items.map(matches));
  }
}

function indexOf(items: readonly Metadata[]): PayloadIndex {
  const index = new PayloadIndex();
  for (const [row, metadata] of items.entries()) index.set(row, metadata);
  return index;
}

describe('the payload index', () => {
  it('answers every filter as the metadata would', () => {
    expectSame(indexOf(ITEMS), ITEMS);
  });

  it('still does so when rows move, and for rows added after that', () => {
    const index = indexOf(ITEMS);
    const kept = [1, 3, 4, 7, 8];
    index.reorder(Uint32Array.from(kept));
    const items = kept.map((row) => ITEMS[row] as Metadata);
    expectSame(index, items);
    for (const [row, metadata] of ITEMS.entries()) index.set(kept.length + row, metadata);
    expectSame(index, [...items, ...ITEMS]);
  });

  it('holds any number of different numbers', () => {
    const rows = LIMITS.columnValues + 1000;
    const index = new PayloadIndex();
    for (let row = 0; row < rows; row++) index.set(row, row % 10 === 0 ? {} : { time: row / 8 });
    const rowTest = index.rowTest({ time: { $gte: 1000, $lt: 8192 } });
    const missing = index.rowTest({ time: { $exists: false } });
    const moved = Uint32Array.of(0, 8001, rows - 1);
    for (const row of [0, 7999, 8001, 65_535, rows - 1, rows]) {
      const isThere = row % 10 !== 0 && row < rows;
      expect(rowTest?.(row)).toBe(isThere && row / 8 >= 1000 && row / 8 < 8192);
      expect(missing?.(row)).toBe(!isThere);
    }
    index.reorder(moved);
    expect([0, 1, 2].map((row) => index.rowTest({ time: { $gt: 1000 } })?.(row))).toEqual([false, true, true]);
  });

  it('leaves filters to the metadata on fields of long strings, of too many strings, and on too many fields', () => {
    const long = indexOf([{ caption: 'short' }, { caption: 'x'.repeat(LIMITS.columnCharacters + 1) }, { year: 1 }]);
    expect(long.rowTest({ caption: 'short' })).toBeUndefined();
    expect(long.rowTest({ $or: [{ year: 1 }, { caption: 'short' }] })).toBeUndefined();
    expect(long.rowTest({ year: 1 })?.(2)).toBe(true);

    const varied = new PayloadIndex();
    for (let row = 0; row <= LIMITS.columnValues; row++) varied.set(row, { name: `n${row}`, mixed: row });
    expect(varied.rowTest({ name: 'n1' })).toBeUndefined();
    expect(varied.rowTest({ mixed: 1 })?.(1)).toBe(true);
    varied.set(LIMITS.columnValues + 1, { mixed: 'a word' });
    expect(varied.rowTest({ mixed: 1 })).toBeUndefined();

    const many = new PayloadIndex();
    for (let field = 0; field <= LIMITS.columns; field++) many.set(0, { [`field-${field}`]: 1 });
    expect(many.rowTest({ 'field-0': 1 })?.(0)).toBe(true);
    expect(many.rowTest({ [`field-${LIMITS.columns}`]: 1 })).toBeUndefined();
    expect(many.rowTest({ never: 1 })).toBeUndefined();
  });
});
