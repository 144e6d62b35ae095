import { cp, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeEach, describe, expect, it } from 'vitest';
import { type FaissStore, openFaissStore } from '../../../src/store/faiss/store.js';
import type { Item } from '../../../src/store/vector-store.js';
import { BINDING, Oracle, randomFrom, randomItem, recorder, tempDir, unitVector } from '../support.js';

/**
 * An index that version 0.1.0 wrote, copied while it was open: a snapshot, two logs, the lock of a live process and a
 * kept original. Beside it what is in it, as lines of JSON.
 */
const FIXTURE = fileURLToPath(new URL('fixtures/index-0.1.0', import.meta.url));
const random = randomFrom(11);

let dir: string;
let oracle: Oracle;

beforeEach(async () => {
  dir = await tempDir();
  await cp(FIXTURE, dir, { recursive: true });
  oracle = new Oracle();
  const lines = (await readFile(`${FIXTURE}.jsonl`, 'utf8')).trim().split('\n');
  oracle.upsert(
    lines.map((line) => {
      const item = JSON.parse(line) as Omit<Item, 'vector'> & { vector: number[] };
      return { ...item, vector: Float32Array.from(item.vector) };
    }),
  );
});

const open = () => openFaissStore({ dir, binding: BINDING, logger: recorder().logger, keepOriginals: true });

async function expectToHold(store: FaissStore): Promise<void> {
  const { items } = await store.list({ limit: 1000 });
  expect(items.map(({ id }) => id)).toEqual([...oracle.items.keys()].sort());
  for (const [id, item] of oracle.items) expect(await store.get(id)).toEqual(item);
  const vector = unitVector(random);
  const hits = await store.search(vector, { k: 20 });
  expect(hits.map(({ id, score }) => ({ id, score }))).toEqual(oracle.search(vector, { k: 20 }));
}

describe('an index of version 0.1.0', () => {
  it('opens, is searched and written, and opens again', async () => {
    const store = await open();
    await expectToHold(store);
    const kept = oracle.items.get('item-9')?.original?.[0] as { file: string };
    expect(await readFile(store.originals?.pathOf(kept.file) ?? '', 'utf8')).toBe('the original of item 9\n');

    const added = Array.from({ length: 20 }, (_, i) => randomItem(random, `new-${i}`));
    await store.upsert(added);
    oracle.upsert(added);
    expect(await store.delete(['item-0'])).toBe(1);
    oracle.items.delete('item-0');
    await expectToHold(store);
    await store.close();

    const again = await open();
    await expectToHold(again);
    await again.snapshot();
    await expectToHold(again);
    await again.close();
    const third = await open();
    await expectToHold(third);
    await third.close();
  });
});

describe('an index of a newer format', () => {
  const files = async () => {
    const names = (await readdir(dir, { recursive: true, withFileTypes: true }))
      .filter((entry) => entry.isFile() && !entry.name.startsWith('lock-'))
      .map(({ parentPath, name }) => path.join(parentPath, name))
      .sort();
    return Promise.all(names.map(async (file) => [file, (await readFile(file)).toString('base64')]));
  };

  const damage: [string, () => Promise<void>, RegExp][] = [
    [
      'of its index.json',
      () => writeFile(path.join(dir, 'index.json'), '{"format":2,"model":"test","revision":"1","dim":16,"extra":{}}\n'),
      /has format 2.*this version reads format 1.*Run the version that wrote it.*export.*import/s,
    ],
    [
      'of its newest log',
      async () => {
        const file = path.join(dir, 'journal-000000001');
        const bytes = await readFile(file);
        bytes.write('OSJ2', 0);
        await writeFile(file, bytes);
      },
      /has format OSJ2.*Run the version that wrote it/s,
    ],
    [
      'of a new log',
      async () => {
        const file = path.join(dir, 'journal-000000002');
        await writeFile(file, Buffer.concat([Buffer.from('OSJ9'), Buffer.alloc(200, 7)]));
      },
      /has format OSJ9.*Run the version that wrote it/s,
    ],
  ];

  it.each(damage)('%s is refused with what to do, and stays as it is', async (_name, change, message) => {
    await change();
    const before = await files();
    await expect(open()).rejects.toThrow(message);
    expect(await files()).toEqual(before);
  });

  it('without a readable index.json says so', async () => {
    await writeFile(path.join(dir, 'index.json'), '{"format":');
    await expect(open()).rejects.toThrow(/index\.json is damaged/);
  });
});
