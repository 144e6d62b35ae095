import { appendFile, readdir } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { INDEX_KINDS, type IndexKind } from '../../../src/common/index-kind.js';
import { type FaissStore, openFaissStore } from '../../../src/store/faiss/store.js';
import { storeContract } from '../store.contract.js';
import { BINDING, Oracle, randomFrom, randomItem, recorder, tempDir, unitVector } from '../support.js';

const ROWS = 1500;
/** Uniform vectors vary equally in every direction: the worst case for PCA. */
const RECALL = { hnsw: 0.9, sq8: 0.9, pca: 0.7 } as const;

interface Report {
  modality: string;
  rows: number;
  recallAt10: number;
}

async function open(dir: string, kind: IndexKind) {
  const { logger, lines } = recorder();
  const reports: Report[] = [];
  const store = await openFaissStore({
    dir,
    binding: BINDING,
    logger,
    approximateIndex: { kind, minRows: 100 },
    events: { onIndexInstalled: (report) => void reports.push(report) },
  });
  return { store, lines, reports };
}

const random = randomFrom(3);

function fill(oracle: Oracle, prefix: string) {
  const items = Array.from({ length: ROWS }, (_, i) => randomItem(random, `${prefix}-${i}`));
  oracle.upsert(items);
  return items;
}

async function write(store: FaissStore, oracle: Oracle, prefix: string): Promise<void> {
  const items = fill(oracle, prefix);
  for (let from = 0; from < items.length; from += 500) await store.upsert(items.slice(from, from + 500));
}

/** The ratio of the exact neighbours found, over some queries. */
async function recall(store: FaissStore, oracle: Oracle): Promise<number> {
  let found = 0;
  for (let i = 0; i < 30; i++) {
    const vector = unitVector(random);
    const exact = new Set(oracle.search(vector, { k: 10 }).map(({ id }) => id));
    const hits = await store.search(vector, { k: 10 });
    expect(hits).toHaveLength(10);
    // What is found is scored exactly.
    const all = new Map(oracle.search(vector, { k: oracle.items.size }).map(({ id, score }) => [id, score]));
    for (const { id, score } of hits) expect(score).toBe(all.get(id));
    found += hits.filter(({ id }) => exact.has(id)).length / 10;
  }
  return found / 30;
}

describe.each(INDEX_KINDS)('searching by %s', (kind) => {
  it('finds nearly all, says how many, and starts up with what was built', async () => {
    const dir = await tempDir();
    const oracle = new Oracle();
    const first = await open(dir, kind);
    await write(first.store, oracle, 'old');
    await first.store.snapshot();
    await first.store.idle();
    expect(first.reports.map(({ modality }) => modality).sort()).toEqual(['image', 'text', 'video']);
    for (const { recallAt10, rows } of first.reports) {
      expect(recallAt10).toBeGreaterThan(RECALL[kind]);
      expect(recallAt10).toBeLessThanOrEqual(1);
      expect(rows).toBeGreaterThan(100);
    }
    // Rows added later are found too, and tombstones are not.
    await write(first.store, oracle, 'new');
    expect(await first.store.deleteWhere({ colour: 'red' })).toBe(oracle.deleteWhere({ colour: 'red' }));
    expect(await recall(first.store, oracle)).toBeGreaterThan(RECALL[kind]);
    await first.store.close();

    const second = await open(dir, kind);
    await second.store.idle();
    expect(second.reports).toEqual(expect.arrayContaining(first.reports));
    expect(await recall(second.store, oracle)).toBeGreaterThan(RECALL[kind]);
    await second.store.close();
    expect(second.lines.filter(({ level }) => level !== 'info')).toEqual([]);
  });

  it('is exact where a filter selects few', async () => {
    const dir = await tempDir();
    const oracle = new Oracle();
    const { store } = await open(dir, kind);
    await write(store, oracle, 'item');
    await store.snapshot();
    await store.idle();
    for (const filter of [{ number: 7 }, { number: { $lt: 20 } }, { caption: { $exists: true }, colour: 'red' }]) {
      const vector = unitVector(random);
      const hits = await store.search(vector, { k: 5, filter });
      expect(hits).toHaveLength(Math.min(5, oracle.select(filter).length));
    }
    await store.close();
  });
});

describe('an approximate index', () => {
  it('that is damaged is built again', async () => {
    const dir = await tempDir();
    const oracle = new Oracle();
    const first = await open(dir, 'sq8');
    await write(first.store, oracle, 'item');
    await first.store.snapshot();
    await first.store.idle();
    await first.store.close();
    const snapshot = (await readdir(dir)).find((name) => name.startsWith('snapshot')) as string;
    await appendFile(path.join(dir, snapshot, 'image.sq8.faiss'), 'x');
    const second = await open(dir, 'sq8');
    await second.store.idle();
    expect(second.lines.some(({ level, message }) => level === 'warn' && message.includes('built again'))).toBe(true);
    expect(second.reports).toHaveLength(3);
    await second.store.close();
  });

  it('does not delay closing while it is built', async () => {
    const dir = await tempDir();
    const oracle = new Oracle();
    const { store, reports, lines } = await open(dir, 'hnsw');
    await write(store, oracle, 'item');
    await store.snapshot();
    await store.close();
    expect(reports.length).toBeLessThan(3);
    expect(lines.filter(({ level }) => level === 'error')).toEqual([]);
  });
});

// With so few rows every row is proposed, so the answers are exact.
storeContract('faiss, approximate from the first rows on', async () =>
  openFaissStore({
    dir: await tempDir(),
    binding: BINDING,
    logger: recorder().logger,
    snapshotBytes: 50_000,
    approximateIndex: { kind: 'sq8', minRows: 1 },
  }),
);
