import { appendFile, cp, open, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { type FaissStore, openFaissStore } from '../../../src/store/faiss/store.js';
import type { Item } from '../../../src/store/vector-store.js';
import { BINDING, Oracle, randomFrom, randomItem, recorder, tempDir, unitVector } from '../support.js';

const random = randomFrom(7);
const items = (count: number, prefix = 'item'): Item[] =>
  Array.from({ length: count }, (_, i) => randomItem(random, `${prefix}-${i}`));

function reopen(dir: string, snapshotBytes?: number) {
  const { logger, lines } = recorder();
  const limits = snapshotBytes === undefined ? {} : { snapshotBytes };
  return openFaissStore({ dir, binding: BINDING, logger, ...limits }).then((store) => ({ store, lines }));
}

/** Runs something on an index and closes it. */
async function withIndex<T>(dir: string, use: (store: FaissStore) => Promise<T>): Promise<T> {
  const { store } = await reopen(dir);
  try {
    return await use(store);
  } finally {
    await store.close();
  }
}

async function expectToHold(store: FaissStore, oracle: Oracle): Promise<void> {
  const { items: found } = await store.list({ limit: 1000 });
  expect(found.map(({ id }) => id)).toEqual([...oracle.items.keys()].sort());
  for (const item of oracle.items.values()) expect(await store.get(item.id)).toEqual(item);
  const vector = unitVector(random);
  const hits = await store.search(vector, { k: 20 });
  expect(hits.map(({ id, score }) => ({ id, score }))).toEqual(oracle.search(vector, { k: 20 }));
}

const PREFIX = { wal: 'journal-', snapshot: 'snapshot-' };
const named = async (dir: string, kind: 'wal' | 'snapshot') =>
  (await readdir(dir)).filter((name) => name.startsWith(PREFIX[kind])).sort();
const newest = async (dir: string, kind: 'wal' | 'snapshot') =>
  path.join(dir, (await named(dir, kind)).at(-1) as string);

async function flipByte(file: string, position: number): Promise<void> {
  const handle = await open(file, 'r+');
  const byte = Buffer.alloc(1);
  await handle.read(byte, 0, 1, position);
  byte.writeUInt8(byte.readUInt8() ^ 0x10);
  await handle.write(byte, 0, 1, position);
  await handle.close();
}

describe('what was acknowledged', () => {
  it('is there after a restart, from the write-ahead log alone', async () => {
    const dir = await tempDir();
    const oracle = new Oracle();
    await withIndex(dir, async (store) => {
      const stored = items(50);
      await store.upsert(stored);
      oracle.upsert(stored);
      oracle.delete(['item-3', 'item-4']);
      await store.delete(['item-3', 'item-4']);
    });
    await withIndex(dir, (store) => expectToHold(store, oracle));
  });

  it('is there after many restarts, from snapshots and write-ahead logs', async () => {
    const dir = await tempDir();
    const oracle = new Oracle();
    for (let round = 0; round < 6; round++) {
      await withIndex(dir, async (store) => {
        await expectToHold(store, oracle);
        for (const batch of [items(40, `r${round}`), items(10)]) {
          await store.upsert(batch);
          oracle.upsert(batch);
          if (round % 2 === 0) await store.snapshot();
        }
        expect(await store.deleteWhere({ colour: 'blue' })).toBe(oracle.deleteWhere({ colour: 'blue' }));
      });
    }
    expect(await named(dir, 'snapshot')).toHaveLength(2);
  });

  it('is what the store serves right after a snapshot that ran among writes', async () => {
    const dir = await tempDir();
    const { store, lines } = await reopen(dir, 3000);
    const oracle = new Oracle();
    const snapshots = () => lines.filter(({ message }) => message.includes('snapshot written')).length;
    for (let i = 0; i < 2000 && (i < 60 || snapshots() < 6); i++) {
      const batch = items(8, `w${i % 7}`);
      oracle.upsert(batch);
      oracle.delete([`w${i % 5}-1`]);
      await Promise.all([store.upsert(batch), store.delete([`w${i % 5}-1`])]);
    }
    await expectToHold(store, oracle);
    await store.close();
    expect(snapshots()).toBeGreaterThan(5);
    await withIndex(dir, (again) => expectToHold(again, oracle));
  });

  it('survives snapshots that are requested all at once', async () => {
    const dir = await tempDir();
    const { store, lines } = await reopen(dir);
    const oracle = new Oracle();
    const batches = Array.from({ length: 5 }, (_, i) => items(20, `b${i}`));
    await Promise.all(
      batches.flatMap((batch) => {
        oracle.upsert(batch);
        return [store.upsert(batch), store.snapshot()];
      }),
    );
    await expectToHold(store, oracle);
    await store.close();
    expect(lines.filter(({ level }) => level !== 'info')).toEqual([]);
    expect(lines.filter(({ message }) => message.includes('snapshot written'))).toHaveLength(5);
    await withIndex(dir, (again) => expectToHold(again, oracle));
  });

  it('includes writes that were in progress when the store was closed', async () => {
    const dir = await tempDir();
    const { store } = await reopen(dir);
    const oracle = new Oracle();
    const writes = items(30).map((item) => {
      oracle.upsert([item]);
      return store.upsert([item]);
    });
    await store.close();
    await Promise.all(writes);
    await expect(store.count()).rejects.toMatchObject({ code: 'shutting_down' });
    await withIndex(dir, (again) => expectToHold(again, oracle));
  });

  it('shares fsyncs among writes that come together', async () => {
    const commits: { writes: number }[] = [];
    const store = await openFaissStore({
      dir: await tempDir(),
      binding: BINDING,
      logger: recorder().logger,
      events: { onCommit: (commit) => commits.push(commit) },
    });
    await Promise.all(items(200).map((item) => store.upsert([item])));
    await store.close();
    expect(commits.reduce((sum, { writes }) => sum + writes, 0)).toBe(200);
    expect(commits.length).toBeLessThan(100);
  });
});

describe('a write-ahead log', () => {
  it('loses only the write that was torn, wherever it was cut', { timeout: 120_000 }, async () => {
    const dir = await tempDir();
    const oracle = new Oracle();
    const [last, ...rest] = items(4);
    await withIndex(dir, (store) => store.upsert(rest));
    oracle.upsert(rest);
    const wal = await newest(dir, 'wal');
    const before = (await stat(wal)).size;
    await withIndex(dir, (store) => store.upsert([last as Item]));
    const whole = await readFile(wal);
    for (let cut = before + 1; cut < whole.length; cut += 13) {
      await writeFile(wal, whole);
      await truncate(wal, cut);
      const { store, lines } = await reopen(dir);
      await expectToHold(store, oracle);
      expect(lines.map(({ level }) => level)).toContain('warn');
      await store.close();
      expect((await stat(wal)).size).toBe(before);
    }
  });

  it('continues after a torn write was dropped', async () => {
    const dir = await tempDir();
    const oracle = new Oracle();
    const [first, second] = [items(5, 'first'), items(5, 'second')];
    await withIndex(dir, (store) => store.upsert(first));
    await appendFile(await newest(dir, 'wal'), Buffer.alloc(100, 7));
    await withIndex(dir, (store) => store.upsert(second));
    oracle.upsert([...first, ...second]);
    await withIndex(dir, (store) => expectToHold(store, oracle));
  });

  it('that is damaged before acknowledged writes is refused and left alone', async () => {
    const dir = await tempDir();
    await withIndex(dir, async (store) => {
      for (const item of items(5)) await store.upsert([item]);
    });
    const wal = await newest(dir, 'wal');
    for (const position of [0, 5, 9, 17, 60]) {
      const whole = await readFile(wal);
      await flipByte(wal, position);
      await expect(reopen(dir)).rejects.toThrow('acknowledged writes follow');
      expect((await stat(wal)).size).toBe(whole.length);
      await writeFile(wal, whole);
    }
  });

  it('that is missing is noticed', async () => {
    const dir = await tempDir();
    await withIndex(dir, async (store) => {
      await store.upsert(items(5));
      await store.snapshot();
      await store.snapshot();
    });
    await rm(await newest(dir, 'wal'));
    await expect(reopen(dir)).rejects.toThrow('Restore the folder from a backup');
  });
});

describe('a damaged snapshot', () => {
  async function twoSnapshots() {
    const dir = await tempDir();
    const oracle = new Oracle();
    await withIndex(dir, async (store) => {
      for (const prefix of ['a', 'b', 'c']) {
        const batch = items(30, prefix);
        oracle.upsert(batch);
        await store.upsert(batch);
        if (prefix !== 'c') await store.snapshot();
      }
    });
    return { dir, oracle };
  }

  it('is passed over, loudly, for the one before it, without loss, whichever file is damaged', {
    timeout: 120_000,
  }, async () => {
    const { dir, oracle } = await twoSnapshots();
    const files = await readdir(await newest(dir, 'snapshot'));
    expect(files).toHaveLength(7);
    for (const file of files)
      for (const damage of ['flipped', 'cut', 'missing'] as const) {
        const copy = await tempDir();
        await cp(dir, copy, { recursive: true });
        await damageFile(path.join(await newest(copy, 'snapshot'), file), damage);
        const { store, lines } = await reopen(copy);
        await expectToHold(store, oracle);
        expect(lines.filter(({ level }) => level === 'error')).toHaveLength(1);
        await store.snapshot();
        await store.close();
        await withIndex(copy, (again) => expectToHold(again, oracle));
      }
  });

  it('never becomes an empty index, even when there is no other', async () => {
    const { dir } = await twoSnapshots();
    for (const name of await named(dir, 'snapshot')) await damageFile(path.join(dir, name, 'manifest.json'), 'flipped');
    await expect(reopen(dir)).rejects.toThrow('Restore the folder from a backup');
  });
});

async function damageFile(file: string, how: 'flipped' | 'cut' | 'missing'): Promise<void> {
  const { size } = await stat(file);
  if (how === 'flipped') await flipByte(file, Math.floor(size / 2));
  else if (how === 'cut') await truncate(file, Math.floor(size / 2));
  else await rm(file);
}

describe('an index folder', () => {
  it.each([
    ['model', { ...BINDING, model: 'other' }],
    ['revision', { ...BINDING, revision: '2' }],
    ['dimension', { ...BINDING, dim: 32 }],
  ])('of another %s is refused with the remedy, and stays as it is', async (_, binding) => {
    const dir = await tempDir();
    const oracle = new Oracle();
    const stored = items(3);
    oracle.upsert(stored);
    await withIndex(dir, (store) => store.upsert(stored));
    const opening = openFaissStore({ dir, binding, logger: recorder().logger });
    await expect(opening).rejects.toMatchObject({
      code: 'index_model_mismatch',
      detail: expect.stringMatching(/onespace reindex.*DATA_DIR.*index the originals again/),
    });
    await withIndex(dir, (store) => expectToHold(store, oracle));
  });

  it('is open in one place at a time, and free after close', async () => {
    const dir = await tempDir();
    const { store } = await reopen(dir);
    await expect(reopen(dir)).rejects.toMatchObject({ code: 'conflict' });
    await store.close();
    await withIndex(dir, (again) => again.count());
  });

  it('without its index.json is refused, not begun anew', async () => {
    const dir = await tempDir();
    await withIndex(dir, (store) => store.upsert(items(3)));
    await rm(path.join(dir, 'index.json'));
    await expect(reopen(dir)).rejects.toThrow('without its index.json');
  });

  it('keeps several indexes of one process apart', async () => {
    const [one, two] = await Promise.all([reopen(await tempDir()), reopen(await tempDir())]);
    await Promise.all([one.store.upsert(items(3)), two.store.upsert(items(9))]);
    await one.store.close();
    expect((await two.store.search(unitVector(random), { k: 20 })).length).toBe(9);
    await two.store.close();
  });
});
