import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MAX_ID_BYTES, MAX_ID_CHARACTERS } from '../../src/common/item-id.js';
import type { Filter, Item, VectorStore } from '../../src/store/vector-store.js';
import { BINDING, Oracle, randomFrom, randomItem, unitVector } from './support.js';

/** Every page of a listing, put together. */
async function listAll(store: VectorStore, options: { modality?: Item['modality']; filter?: Filter } = {}) {
  const ids: string[] = [];
  let cursor: string | undefined;
  do {
    const page = await store.list({ limit: 7, ...options, ...(cursor === undefined ? {} : { cursor }) });
    ids.push(...page.items.map(({ id }) => id));
    cursor = page.nextCursor;
  } while (cursor !== undefined);
  return ids;
}

const FILTERS: Filter[] = [
  {},
  { colour: 'red' },
  { number: { $gte: 990 } },
  { number: 7 },
  { caption: { $exists: true } },
  { $or: [{ colour: 'blue' }, { number: { $lt: 10 } }] },
  { $not: { colour: { $in: ['red', 'green'] } } },
  { 'nested.even': true, number: { $gt: 100, $lte: 900 } },
  { colour: 'none' },
];

interface ContractOptions {
  /** Random operations that are compared. */
  steps?: number;
  /** Share of the true neighbours that searches must find: below 1 for a store whose index is always approximate. */
  recall?: number;
}

/** The contract that every driver must fulfil. `open` gives an empty store of `BINDING`. */
export function storeContract(
  name: string,
  open: () => Promise<VectorStore>,
  { steps = 3000, recall = 1 }: ContractOptions = {},
): void {
  describe(`${name}: the contract of a vector store`, () => {
    let store: VectorStore;
    let random: () => number;
    const items = (count: number, prefix = 'item') =>
      Array.from({ length: count }, (_, i) => randomItem(random, `${prefix}-${i}`));

    beforeEach(async () => {
      random = randomFrom(1);
      store = await open();
    });
    afterEach(() => store.close());

    it('is empty at first', async () => {
      expect(await store.count()).toEqual({ text: 0, image: 0, video: 0 });
      expect(await store.search(unitVector(random), { k: 5 })).toEqual([]);
      expect(await store.list({ limit: 10 })).toEqual({ items: [] });
      expect(await store.get('nothing')).toBeUndefined();
      expect(await store.delete(['nothing'])).toBe(0);
    });

    it('returns exactly what was stored', async () => {
      const stored = items(20);
      await store.upsert(stored);
      for (const item of stored) expect(await store.get(item.id)).toEqual(item);
    });

    it('keeps ids and metadata of any script, quote and length', async () => {
      const odd: Item = {
        id: '红色 "汽车"\n{"id":',
        modality: 'image',
        metadata: { 'a.b': 1, 'quote"': '\\"', 雪: ['❄', null, { deep: [1.5e300, -0.25, ''] }], __proto__x: 1 },
        vector: unitVector(random),
      };
      await store.upsert([odd]);
      expect(await store.get(odd.id)).toEqual(odd);
      expect(await store.search(odd.vector, { k: 1 })).toMatchObject([{ id: odd.id, metadata: odd.metadata }]);
    });

    it.each(['x', '红', '🚗'])('keeps an id of as many characters as a request may use: %s', async (character) => {
      const item = { ...randomItem(random, ''), id: character.repeat(MAX_ID_CHARACTERS) };
      await store.upsert([item]);
      expect(await store.get(item.id)).toEqual(item);
      expect(await store.delete([item.id])).toBe(1);
    });

    it('replaces an item of the same id, also when its modality changes', async () => {
      const old: Item = { id: 'a', modality: 'text', metadata: { v: 1 }, vector: unitVector(random) };
      const next: Item = { id: 'a', modality: 'video', metadata: { v: 2 }, vector: unitVector(random) };
      await store.upsert([old]);
      await store.upsert([next]);
      expect(await store.get('a')).toEqual(next);
      expect(await store.count()).toEqual({ text: 0, image: 0, video: 1 });
      expect(await store.search(old.vector, { k: 5 })).toMatchObject([{ id: 'a', modality: 'video' }]);
      expect(await store.search(old.vector, { k: 5, modality: 'text' })).toEqual([]);
    });

    it('takes the last of two items of one id in one call', async () => {
      const [first, second] = items(2);
      await store.upsert([first as Item, { ...(second as Item), id: 'item-0' }]);
      expect((await store.get('item-0'))?.vector).toEqual(second?.vector);
      expect(Object.values(await store.count()).reduce((a, b) => a + b)).toBe(1);
    });

    it('counts the ids a delete found, each once', async () => {
      await store.upsert(items(5));
      expect(await store.delete(['item-1', 'item-2', 'item-1', 'unknown'])).toBe(2);
      expect(await store.get('item-1')).toBeUndefined();
      expect(await listAll(store)).toEqual(['item-0', 'item-3', 'item-4']);
    });

    it('orders equal scores by id', async () => {
      const vector = unitVector(random);
      const ids = Array.from({ length: 100 }, (_, i) => `tie-${String(i).padStart(3, '0')}`);
      const shuffled = [...ids].sort((a, b) => (a.at(-1) ?? '').localeCompare(b.at(-1) ?? ''));
      await store.upsert(shuffled.map((id) => ({ id, modality: 'text', metadata: {}, vector })));
      const hits = await store.search(vector, { k: 10 });
      expect(hits.map(({ id }) => id)).toEqual(ids.slice(0, 10));
    });

    it('scores by inner product, from 1 for the same direction to -1 for the opposite', async () => {
      const vector = unitVector(random);
      const opposite = vector.map((value) => -value);
      await store.upsert([
        { id: 'same', modality: 'text', metadata: {}, vector },
        { id: 'opposite', modality: 'image', metadata: {}, vector: opposite },
      ]);
      const hits = await store.search(vector, { k: 2 });
      expect(hits.map(({ id }) => id)).toEqual(['same', 'opposite']);
      expect(hits[0]?.score).toBeCloseTo(1, 5);
      expect(hits[1]?.score).toBeCloseTo(-1, 5);
    });

    it('finds k hits whenever k match, however few a filter selects', async () => {
      const stored = items(600);
      await store.upsert(stored);
      const oracle = new Oracle();
      oracle.upsert(stored);
      for (const filter of FILTERS)
        for (const modality of [undefined, 'image'] as const)
          for (const k of [1, 10, 500]) {
            const options = { k, filter, ...(modality === undefined ? {} : { modality }) };
            const vector = unitVector(random);
            const hits = await store.search(vector, options);
            expect(hits.map(({ id }) => id)).toEqual(oracle.search(vector, options).map(({ id }) => id));
          }
    });

    it('pages through everything in order of id, filtered or not', async () => {
      const stored = items(60);
      await store.upsert(stored);
      const oracle = new Oracle();
      oracle.upsert(stored);
      for (const filter of FILTERS) {
        expect(await listAll(store, { filter })).toEqual(oracle.select(filter).map(({ id }) => id));
        const images = oracle.select(filter, 'image').map(({ id }) => id);
        expect(await listAll(store, { filter, modality: 'image' })).toEqual(images);
      }
    });

    it('continues after the last id of a page, whatever was added or deleted since', async () => {
      await store.upsert(items(10));
      const { nextCursor } = await store.list({ limit: 3 });
      await store.delete(['item-2', 'item-4']);
      await store.upsert([randomItem(random, 'item-00'), randomItem(random, 'item-31')]);
      const rest = await store.list({ limit: 100, cursor: nextCursor as string });
      expect(rest.items.map(({ id }) => id)).toEqual([
        'item-3',
        'item-31',
        'item-5',
        'item-6',
        'item-7',
        'item-8',
        'item-9',
      ]);
    });

    it('deletes what a filter selects', async () => {
      const stored = items(100);
      await store.upsert(stored);
      const oracle = new Oracle();
      oracle.upsert(stored);
      for (const filter of FILTERS.slice(1, 6)) {
        expect(await store.deleteWhere(filter)).toBe(oracle.deleteWhere(filter));
        expect(await listAll(store)).toEqual([...oracle.items.keys()].sort());
      }
    });

    it('agrees with a naive store over random operations', { timeout: 120_000 }, async () => {
      const oracle = new Oracle();
      const searches = { found: 0, expected: 0 };
      for (let step = 0; step < steps; step++) await randomStep(store, oracle, random, searches);
      expect(searches.found / searches.expected).toBeGreaterThanOrEqual(recall);
      expect(await listAll(store)).toEqual([...oracle.items.keys()].sort());
      for (const item of oracle.items.values()) expect(await store.get(item.id)).toEqual(item);
    });

    it('sees its own acknowledged writes while others write', async () => {
      const writer = async (name: string) => {
        for (let i = 0; i < 20; i++) {
          const item = randomItem(random, `${name}-${i}`);
          await store.upsert([item]);
          const [best] = await store.search(item.vector, { k: 1 });
          expect(best?.id).toBe(item.id);
          if (i % 3 === 0) {
            expect(await store.delete([item.id])).toBe(1);
            const hits = await store.search(item.vector, { k: 5 });
            expect(hits.map(({ id }) => id)).not.toContain(item.id);
          }
        }
      };
      await Promise.all(Array.from({ length: 8 }, (_, i) => writer(`writer-${i}`)));
      expect(Object.values(await store.count()).reduce((a, b) => a + b)).toBe(8 * 13);
    });

    it.each([
      ['a vector of another length', { vector: new Float32Array(BINDING.dim + 1) }, 'wrong_dimension'],
      ['a vector of norm 0', { vector: new Float32Array(BINDING.dim) }, 'invalid_request'],
      ['a vector that is not a number', { vector: new Float32Array(BINDING.dim).fill(Number.NaN) }, 'invalid_request'],
      ['an empty id', { id: '' }, 'invalid_request'],
      ['a lone surrogate as id', { id: '\ud83d' }, 'invalid_request'],
      ['a very long id', { id: 'x'.repeat(MAX_ID_BYTES + 1) }, 'invalid_request'],
      ['an unknown modality', { modality: 'smell' as Item['modality'] }, 'invalid_request'],
      ['metadata over the limit', { metadata: { text: 'x'.repeat(70_000) } }, 'too_large'],
    ])('refuses %s, and the whole call with it', async (_, wrong, code) => {
      const [good, other] = items(2);
      await expect(store.upsert([good as Item, { ...(other as Item), ...wrong }])).rejects.toMatchObject({ code });
      expect(await store.get((good as Item).id)).toBeUndefined();
    });

    it.each([
      ['k of 0', { k: 0 }, 'invalid_request'],
      ['k over the limit', { k: 100_000 }, 'invalid_request'],
      ['a fractional k', { k: 1.5 }, 'invalid_request'],
      ['a broken filter', { k: 1, filter: { year: { $near: 3 } } }, 'invalid_request'],
    ])('refuses to search with %s', async (_, options, code) => {
      await expect(store.search(unitVector(random), options)).rejects.toMatchObject({ code });
    });

    it('refuses a cursor it did not return', async () => {
      for (const cursor of ['', 'x', 'aXRlbS0x'])
        await expect(store.list({ limit: 5, cursor })).rejects.toMatchObject({ code: 'invalid_cursor' });
    });

    it('refuses to delete by a filter without conditions', async () => {
      await expect(store.deleteWhere({})).rejects.toMatchObject({ code: 'invalid_request' });
    });
  });
}

/**
 * One random call on both, whose answers must be equal, but that a search may miss neighbours: `searches` counts the
 * true ones and those that were found.
 */
async function randomStep(
  store: VectorStore,
  oracle: Oracle,
  random: () => number,
  searches: { found: number; expected: number },
): Promise<void> {
  const someId = () => `item-${Math.floor(random() * 200)}`;
  const dice = random();
  if (dice < 0.4) {
    const items = Array.from({ length: 1 + Math.floor(random() * 5) }, () => randomItem(random, someId()));
    await store.upsert(items);
    oracle.upsert(items);
  } else if (dice < 0.6) {
    const ids = [someId(), someId()];
    expect(await store.delete(ids)).toBe(oracle.delete(ids));
  } else if (dice < 0.62) {
    const filter = { number: Math.floor(random() * 1000) };
    expect(await store.deleteWhere(filter)).toBe(oracle.deleteWhere(filter));
  } else if (dice < 0.7) {
    const id = someId();
    expect(await store.get(id)).toEqual(oracle.items.get(id));
  } else if (dice < 0.75) {
    expect(await store.count()).toEqual(oracle.counts());
  } else {
    const vector = unitVector(random);
    const options = {
      k: 1 + Math.floor(random() * 20),
      filter: FILTERS[Math.floor(random() * FILTERS.length)] as Filter,
    };
    const hits = (await store.search(vector, options)).map(({ id, score }) => ({ id, score }));
    const all = oracle.search(vector, { ...options, k: Number.POSITIVE_INFINITY });
    const returned = new Set(hits.map(({ id }) => id));
    // Each one stored, selected by the filter, with its exact score, once, and the best first.
    expect(hits).toEqual(all.filter(({ id }) => returned.has(id)));
    const nearest = all.slice(0, options.k);
    expect(hits).toHaveLength(nearest.length);
    searches.expected += nearest.length;
    searches.found += nearest.filter(({ id }) => returned.has(id)).length;
  }
}
