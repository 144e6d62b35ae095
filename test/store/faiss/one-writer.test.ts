import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, readdir, readFile, rename, rm, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { LOCK_FILE } from '../../../src/lib/directory-lock.js';
import { type FaissStore, openFaissStore } from '../../../src/store/faiss/store.js';
import type { Item } from '../../../src/store/vector-store.js';
import { BINDING, randomFrom, randomItem, recorder, tempDir } from '../support.js';

const WRITER = fileURLToPath(new URL('writer-child.mjs', import.meta.url));
const OLD_LOCK = 'lock-a78543c0-0956-4394-8223-566db8476172';
const random = randomFrom(3);
const open = (dir: string) => openFaissStore({ dir, binding: BINDING, logger: recorder().logger, keepOriginals: true });

async function idsIn(store: FaissStore): Promise<string[]> {
  return (await store.list({ limit: 1000 })).items.map(({ id }) => id);
}

/** Stores one item. @returns whether it was acknowledged */
const put = (store: FaissStore, id: string): Promise<boolean> =>
  store.upsert([randomItem(random, id)]).then(
    () => true,
    (error: unknown) => {
      expect(error).toMatchObject({ code: 'store_unavailable' });
      return false;
    },
  );

describe('an index whose lock file is removed', () => {
  it('is written by the process that opens it next alone, and nothing acknowledged is lost', async () => {
    const dir = await tempDir();
    const first = await open(dir);
    expect(await put(first, 'before')).toBe(true);
    await rm(path.join(dir, LOCK_FILE));

    const child = spawn(process.execPath, [WRITER, dir, 'second'], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(child.stdout, 'data');
    expect(await put(first, 'refused')).toBe(false);
    await expect(first.delete(['before'])).rejects.toMatchObject({ code: 'store_unavailable' });
    await expect(first.deleteWhere({ colour: 'red' })).rejects.toMatchObject({ code: 'store_unavailable' });
    await first.snapshot();
    child.kill('SIGKILL');
    await once(child, 'exit');
    // It does not come to life again: what the other process wrote is not in its memory.
    expect(await put(first, 'refused')).toBe(false);
    await first.close();

    const again = await open(dir);
    expect(await idsIn(again)).toEqual(['before', 'second']);
    await again.close();
  });

  it('is not available to health checks, and its reads continue', async () => {
    const dir = await tempDir();
    const store = await open(dir);
    const item = randomItem(random, 'one');
    await store.upsert([item]);
    await rm(path.join(dir, LOCK_FILE));
    await expect(store.check()).rejects.toMatchObject({ code: 'store_unavailable' });
    expect(await store.get('one')).toEqual(item);
    expect(await store.search(item.vector, { k: 1 })).toMatchObject([{ id: 'one' }]);
    await store.close();
  });

  it('deletes no kept file that an item of the other process may need', async () => {
    const dir = await tempDir();
    const store = await open(dir);
    const content = Buffer.alloc(2000, 'x');
    const source = { sha256: 'a'.repeat(64), content };
    const kept = await store.originals?.keep([source]);
    await rm(path.join(dir, LOCK_FILE));
    await kept?.rollBack();
    await store.close();
    expect(await readFile(path.join(dir, 'originals', 'aa', source.sha256))).toEqual(content);
  });
});

it('an index folder that is replaced is not written by the process that had the old one open', async () => {
  const dir = await tempDir();
  const store = await open(dir);
  expect(await put(store, 'before')).toBe(true);
  await cp(dir, `${dir}-copy`, { recursive: true });
  expect(await put(store, 'after the copy')).toBe(true);
  await rename(dir, `${dir}-before`);
  await rename(`${dir}-copy`, dir);
  expect(await put(store, 'refused')).toBe(false);
  await store.snapshot();
  await store.close();

  const copy = await open(dir);
  expect(await idsIn(copy)).toEqual(['before']);
  await copy.close();
  expect((await readdir(dir)).filter((name) => /^(journal|snapshot)/.test(name))).toEqual(['journal-000000000']);
  const before = await open(`${dir}-before`);
  expect(await idsIn(before)).toEqual(['after the copy', 'before']);
  await before.close();
  await rm(`${dir}-before`, { recursive: true });
});

describe('a lock of version 0.1.0', () => {
  it('is respected while its process touches it, whatever the clock says', async () => {
    const dir = await tempDir();
    await mkdir(dir, { recursive: true });
    const file = path.join(dir, OLD_LOCK);
    await writeFile(file, '{"pid":1,"world":"another machine"}');
    let touched = 0;
    const heartbeat = setInterval(() => void utimes(file, 1, ++touched), 1000);
    await expect(open(dir)).rejects.toThrow(/onespace 0\.1\.0/);
    clearInterval(heartbeat);
    expect(await readdir(dir)).toContain(OLD_LOCK);
  });

  it('is removed when nothing touches it, even when it names a live process: the folder was copied', async () => {
    const dir = await tempDir();
    const future = new Date(Date.now() + 3_600_000);
    await writeFile(path.join(dir, OLD_LOCK), JSON.stringify({ pid: process.pid, world: 'this one' }));
    await utimes(path.join(dir, OLD_LOCK), future, future);
    const store = await open(dir);
    expect((await readdir(dir)).filter((name) => name.startsWith('lock-'))).toEqual([LOCK_FILE]);
    await store.close();
  });
});

it('a copy of an index folder that is in use opens', async () => {
  const dir = await tempDir();
  const store = await open(dir);
  const items: Item[] = Array.from({ length: 5 }, (_, i) => randomItem(random, `item-${i}`));
  await store.upsert(items);
  const copy = await tempDir();
  await cp(dir, copy, { recursive: true });
  const opened = await open(copy);
  expect(await idsIn(opened)).toEqual(await idsIn(store));
  await opened.close();
  await store.close();
});
