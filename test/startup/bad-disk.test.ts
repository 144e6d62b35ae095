import { execFileSync, spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { postJson, ServiceProcess } from '../service-process.js';
import { mountSmallDisk } from './small-disk.js';

let folder: string;
let running: ServiceProcess | undefined;
let isMounted = false;

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'onespace-disk-'));
});
afterEach(async () => {
  await running?.kill();
  if (isMounted) execFileSync('umount', [folder]);
  isMounted = false;
  await rm(folder, { recursive: true });
});

const start = async (settings: Record<string, string> = {}) => {
  // Without the cache in memory every lookup reaches the one on disk.
  running = await ServiceProcess.start({ settings: { CACHE_MB: '0', ...settings, DATA_DIR: folder } });
  return running;
};
const embed = (url: string, text: string) => postJson(`${url}/embed/text`, { text });
const metric = async (url: string, series: string) => {
  const lines = (await (await fetch(`${url}/metrics`)).text()).split('\n');
  return Number(lines.find((line) => line.startsWith(`${series} `))?.split(' ')[1] ?? 0);
};
const lookups = (url: string, outcome: string) => metric(url, `onespace_cache_lookups_total{outcome="${outcome}"}`);
const cacheBytes = (url: string) => metric(url, 'onespace_cache_bytes{tier="disk"}');
const messages = ({ logs }: ServiceProcess, pattern: RegExp) => logs.filter(({ msg }) => pattern.test(String(msg)));

describe('the process, while its disk fills up', () => {
  it('goes on: reads answer, writes get 507, the cache says once that it is off', async ({ skip }) => {
    isMounted = mountSmallDisk(folder, 3e6);
    if (!isMounted) return skip('mounting a small disk needs root');
    const service = await start();
    const { url } = service;
    expect((await postJson(`${url}/items`, { id: 'kept', text: 'a red car' })).status).toBe(201);
    await fill(folder);
    for (let i = 0; i < 20; i++) {
      expect((await embed(url, `text ${i}`)).status).toBe(200);
      expect((await store(url)).status).toBe(507);
    }
    expect(await resultsOf(url)).toEqual(['kept']);
    expect(messages(service, /cache on disk takes no writes/)).toHaveLength(1);
    expect(await service.stop()).toEqual([0, null]);
  });

  it('starts, and serves reads', async ({ skip }) => {
    isMounted = mountSmallDisk(folder, 3e6);
    if (!isMounted) return skip('mounting a small disk needs root');
    const first = await start();
    expect((await postJson(`${first.url}/items`, { id: 'kept', text: 'a red car' })).status).toBe(201);
    await first.kill();
    // Work that the start has with files: a cache of an earlier version, an upload, a rollout that the settings end.
    for (const name of ['cache/data.mdb', 'spool/left.upload', 'rollout/state.json'])
      await mkdir(path.dirname(path.join(folder, name)), { recursive: true });
    await writeFile(path.join(folder, 'cache/data.mdb'), '');
    await writeFile(path.join(folder, 'spool/left.upload'), '');
    const other = { source: 'other', id: 'other@1' };
    const state = { format: 1, base: other.id, active: other, indexes: {} };
    await writeFile(path.join(folder, 'rollout/state.json'), JSON.stringify(state));
    await fill(folder);
    const second = await start();
    expect(await resultsOf(second.url)).toEqual(['kept']);
    // The first may still find room: what the start removed.
    await expect.poll(async () => (await store(second.url)).status).toBe(507);
    expect(await resultsOf(second.url)).toContain('kept');
    expect(await readdir(path.join(folder, 'spool'))).toEqual([]);
    expect(await second.stop()).toEqual([0, null]);
  });
});

it('starts when it can neither remove an upload that was left nor write that a rollout has ended', async () => {
  // Folders where files should be: also root can neither unlink nor write them.
  for (const name of ['spool/left.upload', 'rollout/state.json.tmp'])
    await mkdir(path.join(folder, name), { recursive: true });
  const other = { source: 'other', id: 'other@1' };
  const state = { format: 1, base: other.id, active: other, indexes: {} };
  await writeFile(path.join(folder, 'rollout/state.json'), JSON.stringify(state));
  const service = await start();
  expect((await embed(service.url, 'a red car')).status).toBe(200);
  expect(messages(service, /rollout: its end cannot be written/)).toHaveLength(1);
});

describe('the cache on disk', () => {
  it('is still there after kill -9, whenever that comes', async () => {
    for (let round = 0; round < 3; round++) {
      const service = await start();
      const { url } = service;
      const texts = Array.from({ length: 40 }, (_, i) => `text ${i}`);
      const replies = Promise.all(texts.map((text) => embed(url, text).catch(() => undefined)));
      // Killed while it writes; at last when everything is written.
      if (round < 2) await Promise.race([replies, new Promise((resolve) => setTimeout(resolve, 60 * round))]);
      else await expect.poll(() => replies.then(() => cacheBytes(url)), { timeout: 30_000 }).toBeGreaterThan(40_000);
      await service.kill();
    }
    const { url } = await start();
    await expect.poll(() => cacheBytes(url)).toBeGreaterThan(40_000);
    const before = await (await embed(url, 'text 5')).json();
    expect([await lookups(url, 'disk_hit'), await lookups(url, 'miss')]).toEqual([1, 0]);
    const fresh = await ServiceProcess.start({
      settings: { CACHE_MB: '0', CACHE_DISK_MB: '0', DATA_DIR: path.join(folder, 'other') },
    });
    expect(before).toEqual(await (await embed(fresh.url, 'text 5')).json());
    await fresh.stop();
  }, 240_000);

  it.each(['cut', 'zeros', 'noise'])('does not stop the start when its files are damaged: %s', async (damage) => {
    const first = await start();
    const known = await (await embed(first.url, 'a red car')).json();
    await first.stop();
    const cache = path.join(folder, 'cache');
    for (const name of await readdir(cache)) {
      const file = path.join(cache, name);
      const { length } = await readFile(file);
      if (damage === 'cut') await truncate(file, length >> 1);
      else await writeFile(file, Buffer.alloc(length, damage === 'zeros' ? 0 : 'noise'));
    }
    const service = await start();
    const { url } = service;
    expect(await (await embed(url, 'a red car')).json()).toEqual(known);
    expect(await lookups(url, 'disk_hit')).toBe(0);
    expect(await service.stop()).toEqual([0, null]);
  });

  it('takes the place of the one of an earlier version, and frees its size', async () => {
    const cache = path.join(folder, 'cache');
    await mkdir(cache);
    await writeFile(path.join(cache, 'data.mdb'), Buffer.alloc(5e6));
    await writeFile(path.join(cache, 'lock.mdb'), 'lock');
    const { url } = await start();
    await embed(url, 'a red car');
    await expect.poll(() => readdir(cache)).toEqual(['000000001.vectors']);
  });

  it('may be a file, or a folder that takes no writes: the service does without', async ({ skip }) => {
    await writeFile(path.join(folder, 'cache'), 'a file');
    const first = await start();
    expect((await embed(first.url, 'a red car')).status).toBe(200);
    await expect.poll(() => messages(first, /cache on disk/).length).toBeGreaterThan(0);
    expect(await first.stop()).toEqual([0, null]);
    expect(await readFile(path.join(folder, 'cache'), 'utf8')).toBe('a file');

    await rm(path.join(folder, 'cache'));
    const second = await start();
    const known = await (await embed(second.url, 'a red car')).json();
    await second.stop();
    const cache = path.join(folder, 'cache');
    const mounted = spawnSync('mount', ['--bind', '-o', 'ro', cache, cache]).status === 0;
    if (!mounted) return skip('mounting a folder read-only needs root');
    try {
      const third = await start();
      await expect
        .poll(async () => (await embed(third.url, 'a red car')) && lookups(third.url, 'disk_hit'))
        .toBeGreaterThan(0);
      expect(await (await embed(third.url, 'a red car')).json()).toEqual(known);
      expect((await embed(third.url, 'a blue car')).status).toBe(200);
      await expect.poll(() => messages(third, /takes no writes/).length).toBe(1);
      await third.stop();
    } finally {
      execFileSync('umount', [cache]);
    }
  });
});

async function resultsOf(url: string): Promise<string[]> {
  const reply = await postJson(`${url}/retrieve`, { text: 'a red car', top_k: 5 });
  return ((await reply.json()) as { results: { id: string }[] }).results.map(({ id }) => id);
}

/** An item that does not fit into what is left of a page. */
const store = (url: string) => postJson(`${url}/items`, { text: 'a blue car', metadata: { note: 'x'.repeat(5000) } });

/** Leaves no room on a disk. */
async function fill(disk: string): Promise<void> {
  const filler = path.join(disk, 'filler');
  spawnSync('dd', ['if=/dev/zero', `of=${filler}`, 'bs=4096']);
}
