import { describe, expect, it } from 'vitest';
import { openFaissStore } from '../../../src/store/faiss/store.js';
import type { Filter, Item } from '../../../src/store/vector-store.js';
import { storeContract } from '../store.contract.js';
import { BINDING, Oracle, randomFrom, recorder, tempDir, unitVector } from '../support.js';

const open = async (options: { snapshotBytes?: number } = {}) =>
  openFaissStore({ dir: await tempDir(), binding: BINDING, logger: recorder().logger, ...options });

storeContract('faiss', () => open());

// Snapshots follow each other closely here, so every operation meets rows on disk and in memory.
storeContract('faiss with a snapshot every few writes', () => open({ snapshotBytes: 2000 }));

it('refuses a write larger than one frame of the write-ahead log, and continues', async () => {
  const binding = { ...BINDING, dim: 1024 };
  const store = await openFaissStore({ dir: await tempDir(), binding, logger: recorder().logger });
  const vector = unitVector(randomFrom(4), binding.dim);
  const items = (length: number): Item[] =>
    Array.from({ length }, (_, i) => ({
      id: `${i}`,
      modality: 'text',
      metadata: { text: 'x'.repeat(65_000) },
      vector,
    }));
  await expect(store.upsert(items(1000))).rejects.toMatchObject({ code: 'too_large' });
  await store.upsert(items(10));
  expect(await store.count()).toEqual({ text: 10, image: 0, video: 0 });
  await store.close();
});

describe('search among more rows than FAISS proposes', () => {
  const random = randomFrom(11);
  const centre = unitVector(random);
  const opposite = centre.map((value) => -value);

  /** Too long for the payload index: filters on it read the metadata lines. */
  const noteOf = (i: number) => `${'note '.repeat(20)}${i % 90}`;

  /** 12,000 images: most near `centre`, 40 rare ones opposite to it, 5,000 of them equal. */
  function images(): Item[] {
    return Array.from({ length: 12_000 }, (_, i) => {
      const rare = i % 300 === 7;
      const vector = rare ? nudged(opposite) : i >= 7000 ? centre : nudged(centre);
      return {
        id: `p${String((i * 7919) % 12_000).padStart(5, '0')}`,
        modality: 'image',
        metadata: { i, rare, half: i % 2, note: noteOf(i), 'dotted.name': { deep: i % 100 } },
        vector,
      };
    });
  }

  function nudged(vector: Float32Array): Float32Array {
    const moved = vector.map((value) => value + 0.2 * (random() - 0.5));
    const norm = Math.hypot(...moved);
    return moved.map((value) => value / norm);
  }

  const filters: (Filter | undefined)[] = [
    undefined,
    { rare: true },
    { rare: true, half: 1 },
    { half: 0 },
    { i: { $lt: 5 } },
    { i: 4321 },
    { 'dotted.name.deep': 5 },
    { $not: { half: 0 } },
    { rare: 'no' },
    { note: noteOf(3) },
    { note: { $in: [noteOf(3), noteOf(4)] }, half: 0 },
    { $or: [{ note: noteOf(5) }, { rare: true }] },
  ];

  it('is exact for every filter, with ties by the thousand, on disk and in memory', { timeout: 120_000 }, async () => {
    const store = await open();
    const oracle = new Oracle();
    const all = images();
    for (let from = 0; from < all.length; from += 1000) {
      await store.upsert(all.slice(from, from + 1000));
      oracle.upsert(all.slice(from, from + 1000));
      if (from === 8000) await store.snapshot();
    }
    const check = async () => {
      const questions = [centre, opposite, unitVector(random)].flatMap((vector) =>
        filters.flatMap((filter) => [1, 50, 1000].map((k) => ({ vector, k, ...(filter && { filter }) }))),
      );
      const answers = await Promise.all(questions.map(({ vector, ...options }) => store.search(vector, options)));
      questions.forEach(({ vector, ...options }, i) => {
        expect(answers[i]?.map(({ id, score }) => ({ id, score }))).toEqual(oracle.search(vector, options));
      });
    };
    await check();
    const gone = all.filter(({ metadata }) => (metadata.i as number) % 3 === 0).map(({ id }) => id);
    expect(await store.delete(gone)).toBe(oracle.delete(gone));
    const back = all.slice(0, 300).map((item) => ({ ...item, metadata: { ...item.metadata, rare: true } }));
    await store.upsert(back);
    oracle.upsert(back);
    await check();
    await store.snapshot();
    await check();
    await store.close();
  });

  it('answers searches that filter while a snapshot moves the rows', { timeout: 120_000 }, async () => {
    const store = await open({ snapshotBytes: 100_000 });
    const all = images().slice(0, 6000);
    for (let from = 0; from < all.length; from += 500) {
      const [, ...searches] = await Promise.all([
        store.upsert(all.slice(from, from + 500)),
        ...Array.from({ length: 20 }, (_, i) =>
          store.search(centre, { k: 5, filter: { i: { $lt: 5 + i }, ...(i % 2 && { note: { $exists: true } }) } }),
        ),
        store.delete([`p${String(from).padStart(5, '0')}`]).then(() => []),
      ]);
      for (const hits of searches) expect(hits.every(({ metadata }) => (metadata.i as number) < 25)).toBe(true);
    }
    const found = await store.search(opposite, { k: 1000, filter: { rare: true } });
    const counted = await store.list({ limit: 1000, filter: { rare: true } });
    expect(found.length).toBeGreaterThan(10);
    expect(found.map(({ id }) => id).sort()).toEqual(counted.items.map(({ id }) => id));
    await store.close();
  });
});
