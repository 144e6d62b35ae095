import { describe, expect, it } from 'vitest';
import { compileFilter } from '../../src/store/filter.js';
import type { Filter, Metadata } from '../../src/store/vector-store.js';

const CAR: Metadata = {
  colour: 'red',
  year: 2021,
  sold: false,
  owner: null,
  tags: ['fast'],
  exif: { make: 'Leica', lens: { mm: 35 } },
  'a.b': 'literal',
  a: { b: 'nested' },
  latitude: 38.7,
  longitude: -9.1,
};

const LISBON = { south: 38.6, west: -9.3, north: 38.9, east: -9 };

describe('a filter matches', () => {
  const cases: [Filter, boolean][] = [
    [{}, true],
    [{ colour: 'red' }, true],
    [{ colour: 'Red' }, false],
    [{ year: 2021 }, true],
    [{ year: '2021' }, false],
    [{ sold: false }, true],
    [{ owner: null }, true],
    [{ missing: null }, false],
    [{ colour: 'red', year: 2020 }, false],
    [{ colour: { $eq: 'red' } }, true],
    [{ colour: { $ne: 'red' } }, false],
    [{ missing: { $ne: 'red' } }, true],
    [{ year: { $gt: 2020, $lt: 2022 } }, true],
    [{ year: { $gt: 2021 } }, false],
    [{ year: { $gte: 2021, $lte: 2021 } }, true],
    [{ colour: { $gt: 'blue' } }, true],
    [{ colour: { $gt: 5 } }, false],
    [{ year: { $lt: 'z' } }, false],
    [{ missing: { $lt: 5 } }, false],
    [{ colour: { $in: ['blue', 'red'] } }, true],
    [{ colour: { $in: [] } }, false],
    [{ colour: { $nin: ['blue'] } }, true],
    [{ missing: { $nin: ['blue'] } }, true],
    [{ missing: { $in: [null] } }, false],
    [{ owner: { $exists: true } }, true],
    [{ missing: { $exists: true } }, false],
    [{ missing: { $exists: false } }, true],
    [{ tags: 'fast' }, false],
    [{ 'exif.make': 'Leica' }, true],
    [{ 'exif.lens.mm': { $gte: 35 } }, true],
    [{ 'exif.lens.mm.more': 35 }, false],
    [{ 'a.b': 'literal' }, true],
    [{ 'tags.length': 1 }, false],
    [{ constructor: { $exists: true } }, false],
    [{ 'exif.constructor': { $exists: true } }, false],
    [{ $and: [{ colour: 'red' }, { year: 2021 }] }, true],
    [{ $and: [{ colour: 'red' }, { year: 1 }] }, false],
    [{ $or: [{ colour: 'blue' }, { year: 2021 }] }, true],
    [{ $or: [{ colour: 'blue' }, { year: 1 }] }, false],
    [{ $not: { colour: 'blue' } }, true],
    [{ $not: { $or: [{ colour: 'red' }] } }, false],
    [{ $or: [{ colour: 'blue' }], year: 2021 }, false],
    [{ $geo: LISBON }, true],
    [{ $geo: { ...LISBON, north: 38.65 } }, false],
    [{ $geo: { ...LISBON, east: -9.2 } }, false],
    // Eastwards from 170 to -9: across the 180th meridian.
    [{ $geo: { ...LISBON, west: 170, east: -9 } }, true],
    [{ $geo: { ...LISBON, west: 170, east: -170 } }, false],
    [{ $not: { $geo: LISBON } }, false],
    [{ $geo: LISBON, colour: 'blue' }, false],
  ];
  it.each(cases)('%j: %j', (filter, expected) => {
    expect(compileFilter(filter)(CAR)).toBe(expected);
  });
});

describe('a filter is refused, naming the clause', () => {
  const nested = (depth: number): Filter => (depth === 0 ? { a: 1 } : { $not: nested(depth - 1) });
  const cases: [unknown, string][] = [
    [null, 'filter'],
    ['colour', 'filter'],
    [[{ a: 1 }], 'filter'],
    [{ colour: { $near: 1 } }, 'filter.colour.$near'],
    [{ colour: { toString: 1 } }, 'filter.colour.toString'],
    [{ colour: {} }, 'filter.colour'],
    [{ colour: ['red'] }, 'filter.colour'],
    [{ colour: undefined }, 'filter.colour'],
    [{ colour: Number.NaN }, 'filter.colour'],
    [{ $near: 1 }, 'filter.$near'],
    [{ $eq: 1 }, 'filter.$eq'],
    [{ $and: [] }, 'filter.$and'],
    [{ $or: { a: 1 } }, 'filter.$or'],
    [{ $or: [{ a: 1 }, { b: { $gt: true } }] }, 'filter.$or[1].b.$gt'],
    [{ $not: 3 }, 'filter.$not'],
    [{ a: { $in: 'red' } }, 'filter.a.$in'],
    [{ a: { $in: ['red', {}] } }, 'filter.a.$in[1]'],
    [{ a: { $in: Array.from({ length: 1001 }, (_, i) => i) } }, 'filter.a.$in'],
    [{ a: { $exists: 'yes' } }, 'filter.a.$exists'],
    [{ a: { $eq: { b: 1 } } }, 'filter.a.$eq'],
    [nested(9), `filter${'.$not'.repeat(9)}`],
    [Object.fromEntries(Array.from({ length: 129 }, (_, i) => [`f${i}`, i])), 'filter.f128'],
  ];
  it.each(cases)('%j', (filter, field) => {
    const compile = () => compileFilter(filter as Filter);
    expect(compile).toThrowError(expect.objectContaining({ code: 'invalid_request', extensions: { field } }));
    expect(compile).toThrowError(field);
  });

  it('but not at the limits themselves', () => {
    expect(compileFilter(nested(8))({ a: 1 })).toBe(true);
    const many = Object.fromEntries(Array.from({ length: 128 }, (_, i) => [`f${i}`, i]));
    expect(compileFilter(many)(many)).toBe(true);
  });
});
