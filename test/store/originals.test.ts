import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { expect, it } from 'vitest';
import { type FaissStore, openFaissStore } from '../../src/store/faiss/store.js';
import type { Item } from '../../src/store/vector-store.js';
import { BINDING, randomFrom, randomItem, recorder, tempDir } from './support.js';

const random = randomFrom(4);
const open = (dir: string) => openFaissStore({ dir, binding: BINDING, logger: recorder().logger, keepOriginals: true });
const source = (text: string) => {
  const content = Buffer.from(text);
  return { content, sha256: createHash('sha256').update(content).digest('hex') };
};
const kept = async (dir: string) =>
  (await readdir(path.join(dir, 'originals'), { recursive: true })).filter((name) => name.includes(path.sep)).sort();

async function put(store: FaissStore, id: string, ...texts: string[]): Promise<Item> {
  const keeping = store.originals?.keep(texts.map(source));
  if (keeping === undefined) throw new Error('the store keeps no originals');
  const { original, commit } = await keeping;
  const item = { ...randomItem(random, id), original };
  await store.upsert([item]);
  await commit();
  return item;
}

it('keeps a file as long as an item refers to it, over restarts and snapshots', async () => {
  const dir = await tempDir();
  const store = await open(dir);
  const one = await put(store, 'one', 'shared', 'own');
  await put(store, 'two', 'shared');
  expect(await store.get('one')).toEqual(one);
  expect(await kept(dir)).toHaveLength(2);
  await store.snapshot();
  await store.close();

  const again = await open(dir);
  expect(await again.get('one')).toEqual(one);
  await again.delete(['one']);
  await expect.poll(() => kept(dir)).toHaveLength(1);
  expect(await readFile(again.originals?.pathOf(source('shared').sha256) ?? '', 'utf8')).toBe('shared');
  await again.deleteWhere({ number: { $gte: 0 } });
  await expect.poll(() => kept(dir)).toEqual([]);
  await again.close();
});

it('never loses a file while items come and go at the same time', { timeout: 60_000 }, async () => {
  const dir = await tempDir();
  const store = await open(dir);
  const texts = ['a', 'b', 'c'];
  const writer = async (name: number) => {
    for (let step = 0; step < 60; step++) {
      const id = `${name}-${step % 2}`;
      if (random() < 0.6) await put(store, id, texts[Math.floor(random() * 3)] as string);
      else await store.delete([id]);
    }
  };
  await Promise.all(Array.from({ length: 6 }, (_, name) => writer(name)));
  const { items } = await store.list({ limit: 100 });
  const referred = new Set(
    items.flatMap(({ original }) => original?.flatMap((part) => ('file' in part ? [part.file] : []))),
  );
  await expect.poll(async () => (await kept(dir)).map((name) => path.basename(name))).toEqual([...referred].sort());
  await store.close();
});

it('rolls back what was kept for an item that was not stored', async () => {
  const dir = await tempDir();
  const store = await open(dir);
  await put(store, 'one', 'shared');
  const lost = await store.originals?.keep([source('shared'), source('lost')]);
  await lost?.rollBack();
  await expect.poll(() => kept(dir)).toEqual([path.join(source('shared').sha256.slice(0, 2), source('shared').sha256)]);
  await store.close();
});

it('deletes what a crash left without an item', async () => {
  const dir = await tempDir();
  const store = await open(dir);
  await put(store, 'one', 'of an item');
  await store.close();
  const orphan = source('of no item').sha256;
  await mkdir(path.join(dir, 'originals', orphan.slice(0, 2)), { recursive: true });
  await writeFile(path.join(dir, 'originals', orphan.slice(0, 2), orphan), 'of no item');
  await writeFile(path.join(dir, 'originals', 'half.tmp'), 'half');
  const again = await open(dir);
  await expect.poll(() => kept(dir)).toHaveLength(1);
  expect(await readdir(path.join(dir, 'originals'))).not.toContain('half.tmp');
  await again.close();
});

it.each([[[{ file: '../../../etc/passwd' }]], [[{ text: 5 }]], ['x']])(
  'refuses %j as an original',
  async (original) => {
    const store = await open(await tempDir());
    const item = { ...randomItem(random, 'one'), original: original as never };
    await expect(store.upsert([item])).rejects.toMatchObject({ code: 'invalid_request' });
    await store.close();
  },
);
