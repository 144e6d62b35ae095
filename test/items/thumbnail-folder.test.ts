import { mkdtemp, readdir, rm, utimes } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ThumbnailFolder } from '../../src/items/files/thumbnail-folder.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'onespace-thumbnails-'));
});
afterEach(() => rm(folder, { recursive: true }));

const names = async () =>
  (await readdir(folder, { recursive: true }))
    .filter((name) => name.endsWith('.webp'))
    .map((name) => path.basename(name, '.webp'));

it('gives back what was put, and nothing else', async () => {
  const thumbnails = new ThumbnailFolder(path.join(folder, 'new'), 1e6);
  expect(await thumbnails.find('abcd-320')).toBeUndefined();
  const place = await thumbnails.put('abcd-320', Buffer.from('x'));
  expect(await thumbnails.find('abcd-320')).toBe(place);
  expect(await thumbnails.find('abcd-1280')).toBeUndefined();
});

it('removes those that were not asked for longest, when the folder is full, also after a restart', async () => {
  const put = async (thumbnails: ThumbnailFolder, name: string, ageDays: number) => {
    const place = await thumbnails.put(name, Buffer.alloc(1000));
    const seconds = Date.now() / 1000 - ageDays * 86_400;
    await utimes(place, seconds, seconds);
  };
  const first = new ThumbnailFolder(folder, 10_000);
  for (let i = 0; i < 9; i++) await put(first, `a${i}-320`, 20 - i);
  // Asked for again: it counts as used today.
  await first.find('a0-320');
  const second = new ThumbnailFolder(folder, 10_000);
  await put(second, 'b0-320', 0);
  expect(await names()).toHaveLength(10);
  await put(second, 'b1-320', 0);
  expect(new Set(await names())).toEqual(
    new Set(['a0-320', 'a3-320', 'a4-320', 'a5-320', 'a6-320', 'a7-320', 'a8-320', 'b0-320', 'b1-320']),
  );
  expect((await readdir(folder, { recursive: true })).some((name) => name.endsWith('.tmp'))).toBe(false);
});
