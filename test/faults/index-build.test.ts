import { readdir } from 'node:fs/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type FaissStore, openFaissStore } from '../../src/store/faiss/store.js';
import { BINDING, Oracle, randomFrom, randomItem, recorder, unitVector } from '../store/support.js';
import { FAULTS, FaultyDisk } from './disk.js';

const random = randomFrom(7);

let disk: FaultyDisk;
let store: FaissStore | undefined;
beforeEach(async () => {
  disk = await FaultyDisk.open();
  // The store is in this process, whose disk is well; the process that builds the index gets these.
  Object.assign(process.env, disk.env, { NODE_OPTIONS: disk.nodeOptions.join(' ') });
});
afterEach(async () => {
  // The thread of the index has the environment that it was started with.
  await store?.close();
  delete process.env.FAULT_PLAN;
  delete process.env.NODE_OPTIONS;
  await disk.remove();
});

const snapshotFiles = async () =>
  (await readdir(disk.path('index'), { recursive: true })).filter((file) => /hnsw\.(faiss|json)$/.test(file)).sort();

it.each(FAULTS)(
  'an approximate index that cannot be built for $code in $calls costs speed, and nothing else',
  async (fault) => {
    const { logger, lines } = recorder();
    const opened = await openFaissStore({
      dir: disk.path('index'),
      binding: BINDING,
      logger,
      approximateIndex: { kind: 'hnsw', minRows: 100 },
    });
    store = opened;
    const oracle = new Oracle();
    const items = Array.from({ length: 500 }, (_, i) => randomItem(random, `item-${i}`));
    oracle.upsert(items);
    await opened.upsert(items);
    const expectExact = async () => {
      const vector = unitVector(random);
      expect(await opened.search(vector, { k: 10 })).toMatchObject(oracle.search(vector, { k: 10 }));
    };

    await disk.break({ ...fault, folder: disk.path('index'), probability: 1, seed: 1 });
    await opened.snapshot?.();
    await opened.idle();
    expect(lines.map(({ message }) => message).join('\n')).toMatch(
      /the approximate index could not be built; the search stays exact/,
    );
    await expectExact();
    // Nothing of it stays to fill the disk further.
    expect(await snapshotFiles()).toEqual([]);

    await disk.mend();
    const more = [randomItem(random, 'one more')];
    oracle.upsert(more);
    await opened.upsert(more);
    await opened.snapshot?.();
    await opened.idle();
    expect(lines.map(({ message }) => message).join('\n')).toMatch(/searching approximately/);
    expect((await snapshotFiles()).length).toBeGreaterThan(0);
  },
);
