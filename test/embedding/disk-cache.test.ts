import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { embeddingOf, keyOf, openCache } from './support.js';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'onespace-disk-cache-'));
});
afterEach(() => rm(folder, { recursive: true }));

const sizeOf = async (dir: string) => {
  const sizes = await Promise.all((await readdir(dir)).map(async (name) => (await stat(path.join(dir, name))).size));
  return sizes.reduce((sum, size) => sum + size, 0);
};
const only = async (dir: string) => path.join(dir, (await readdir(dir))[0] as string);

describe('DiskCache', () => {
  it('returns exactly what it was given, also when it is closed and opened again', async () => {
    const { cache } = await openCache(folder);
    for (let i = 0; i < 100; i++) cache.set(keyOf(i), embeddingOf(i, 64 + i));
    await cache.written();
    expect(await cache.get(keyOf(7))).toEqual(embeddingOf(7, 71));
    expect(cache.get(keyOf(100))).toBeUndefined();
    await cache.close();
    const again = await openCache(folder);
    for (let i = 0; i < 100; i++) expect(await again.cache.get(keyOf(i))).toEqual(embeddingOf(i, 64 + i));
    expect(again.cache.bytes).toBe(await sizeOf(folder));
    expect(again.logs).toEqual([]);
    await again.cache.close();
  });

  it('finds an embedding that is not yet written', async () => {
    await using open = await openCache(folder);
    open.cache.set('a', embeddingOf(1));
    expect(await open.cache.get('a')).toEqual(embeddingOf(1));
  });

  it('stays within its limit on the disk, over restarts too, and forgets what is least recently used', async () => {
    for (let restart = 0; restart < 3; restart++) {
      await using open = await openCache(folder, { maxBytes: 100_000 });
      const { cache } = open;
      if (restart === 0) for (const key of ['used', 'unused']) cache.set(key, embeddingOf(1));
      await cache.written();
      for (let i = 0; i < 200; i++) {
        cache.set(`${restart} ${i}`, embeddingOf(i));
        expect(await cache.get('used')).toEqual(embeddingOf(1));
        await cache.written();
        expect(cache.bytes).toBeLessThanOrEqual(100_000);
        expect(await sizeOf(folder)).toBe(cache.bytes);
      }
      expect(cache.get('unused')).toBeUndefined();
    }
  });

  it('shrinks to a lower limit when it is opened', async () => {
    const { cache } = await openCache(folder, { maxBytes: 100_000 });
    for (let i = 0; i < 80; i++) cache.set(keyOf(i), embeddingOf(i));
    await cache.close();
    expect(await sizeOf(folder)).toBeGreaterThan(80_000);
    await using smaller = await openCache(folder, { maxBytes: 50_000 });
    expect(await sizeOf(folder)).toBeLessThanOrEqual(50_000);
    expect(await smaller.cache.get(keyOf(79))).toEqual(embeddingOf(79));
  });

  it('drops what a slow disk cannot take, instead of growing', async () => {
    await using open = await openCache(folder, { maxBytes: 1e9 });
    for (let i = 0; i < 40_000; i++) open.cache.set(keyOf(i), embeddingOf(i % 10));
    await open.cache.written();
    expect(open.cache.bytes).toBeLessThan(20e6);
    expect(await open.cache.get(keyOf(3))).toEqual(embeddingOf(3));
  });

  it('keeps nothing before it is loaded, and takes nothing after it is closed', async () => {
    const { cache } = await openCache(folder);
    await cache.close();
    cache.set('a', embeddingOf(1));
    await cache.written();
    expect(cache.get('a')).toBeUndefined();
  });

  it('never gives one key what belongs to another with the same fingerprint', async () => {
    await using open = await openCache(folder);
    // Both have the CRC-32 4ddb0c25.
    const [one, other] = ['plumless', 'buckeroo'];
    open.cache.set(one, embeddingOf(1));
    await open.cache.written();
    expect(await open.cache.get(other)).toBeUndefined();
    expect(await open.cache.get(one)).toEqual(embeddingOf(1));
  });

  it('throws away a file whose record is damaged under it, says so once, and goes on', async () => {
    await using open = await openCache(folder);
    const { cache, logs } = open;
    for (let i = 0; i < 10; i++) cache.set(keyOf(i), embeddingOf(i));
    await cache.written();
    const file = await only(folder);
    await truncate(file, 3000);
    await truncate(file, 11_000);
    expect(await cache.get(keyOf(0))).toEqual(embeddingOf(0));
    expect(await cache.get(keyOf(5))).toBeUndefined();
    expect(cache.get(keyOf(0))).toBeUndefined();
    expect(await readdir(folder)).toEqual([]);
    expect(logs).toHaveLength(1);
    cache.set(keyOf(5), embeddingOf(5));
    await cache.written();
    expect(await cache.get(keyOf(5))).toEqual(embeddingOf(5));
  });

  it('keeps the records before a torn end, and appends behind them', async () => {
    const { cache } = await openCache(folder);
    for (let i = 0; i < 10; i++) cache.set(keyOf(i), embeddingOf(i));
    await cache.close();
    const file = await only(folder);
    await truncate(file, (await stat(file)).size - 100);
    for (const round of [1, 2]) {
      await using open = await openCache(folder);
      expect(await open.cache.get(keyOf(8))).toEqual(embeddingOf(8));
      expect(await open.cache.get(keyOf(9))).toEqual(round === 1 ? undefined : embeddingOf(9));
      expect(open.logs).toHaveLength(round === 1 ? 1 : 0);
      open.cache.set(keyOf(9), embeddingOf(9));
    }
  });

  it('throws away files of another version', async () => {
    const { cache } = await openCache(folder);
    cache.set('a', embeddingOf(1));
    await cache.close();
    const file = await only(folder);
    const bytes = await readFile(file);
    bytes[14] = '9'.charCodeAt(0);
    await writeFile(file, bytes);
    await using open = await openCache(folder);
    expect(open.cache.get('a')).toBeUndefined();
    expect(await readdir(folder)).toEqual([]);
  });

  it('removes the LMDB files of an earlier version, and nothing that is not its own', async () => {
    for (const name of ['data.mdb', 'lock.mdb', 'notes.txt']) await writeFile(path.join(folder, name), name);
    await using open = await openCache(folder);
    expect(open.logs.join()).toMatch(/earlier version.*data\.mdb/);
    expect(await readdir(folder)).toEqual(['notes.txt']);
  });

  it('is off while its folder cannot be made, says so once, and works when it can', async () => {
    const blocked = path.join(folder, 'cache');
    await writeFile(blocked, 'a file');
    await using open = await openCache(blocked, { retryMs: 50 });
    const { cache, logs } = open;
    for (let i = 0; i < 5; i++) {
      cache.set('a', embeddingOf(1));
      await cache.written();
      expect(cache.get('a')).toBeUndefined();
      await new Promise((resolve) => setTimeout(resolve, 60));
    }
    expect(logs.filter((log) => /takes no writes/.test(log))).toHaveLength(1);
    expect(await readFile(blocked, 'utf8')).toBe('a file');
    await rm(blocked);
    cache.set('a', embeddingOf(1));
    await cache.written();
    expect(await cache.get('a')).toEqual(embeddingOf(1));
    expect(logs.at(-1)).toMatch(/takes writes again/);
  });

  it.skipIf(process.getuid?.() === 0)('is read where it may not be written', async () => {
    const { cache } = await openCache(folder);
    cache.set('a', embeddingOf(1));
    await cache.close();
    await chmod(await only(folder), 0o400);
    await chmod(folder, 0o500);
    const open = await openCache(folder);
    expect(await open.cache.get('a')).toEqual(embeddingOf(1));
    open.cache.set('b', embeddingOf(2));
    await open.cache.close();
    await chmod(folder, 0o700);
    expect(open.logs).toHaveLength(1);
  });

  it('does not fail when its folder is removed under it', async () => {
    const inner = path.join(folder, 'cache');
    await mkdir(inner);
    await using open = await openCache(inner, { maxBytes: 50_000, retryMs: 0 });
    for (let i = 0; i < 200; i++) {
      if (i === 100) await rm(inner, { recursive: true });
      open.cache.set(keyOf(i), embeddingOf(i));
      await open.cache.written();
      await open.cache.get(keyOf(i - 1));
    }
    expect(await open.cache.get(keyOf(199))).toEqual(embeddingOf(199));
  });

  it('gives two processes that share a folder by mistake no wrong vector', async () => {
    await using one = await openCache(folder, { maxBytes: 100_000 });
    await using two = await openCache(folder, { maxBytes: 100_000 });
    for (let i = 0; i < 300; i++) {
      const { cache } = i % 2 === 0 ? one : two;
      cache.set(keyOf(i), embeddingOf(i));
      await cache.written();
      for (const { cache } of [one, two])
        for (const k of [i, i - 1, i - 20])
          expect([undefined, embeddingOf(k)]).toContainEqual(await cache.get(keyOf(k)));
    }
  });
});
