import { spawnSync } from 'node:child_process';
import { mkdir, readdir, readFile, rm, statfs, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openFaissStore } from '../../src/store/faiss/store.js';
import type { ModelBinding } from '../../src/store/vector-store.js';
import { mp4 } from '../media-files.js';
import { randomFrom } from '../random.js';
import { postJson, ServiceProcess } from '../service-process.js';
import { FAULTS, FaultyDisk, ROUNDS, SEED } from './disk.js';

let disk: FaultyDisk;
let dataDir: string;
let service: ServiceProcess | undefined;
let isMounted = false;
beforeEach(async () => {
  disk = await FaultyDisk.open();
  dataDir = disk.path('data');
  await mkdir(dataDir);
});
afterEach(async () => {
  await service?.kill();
  if (isMounted) spawnSync('umount', ['-l', dataDir]);
  isMounted = false;
  await disk.remove();
});

async function serve(): Promise<ServiceProcess> {
  const settings = { LOG_LEVEL: 'error', CACHE_DISK_MB: '0', KEEP_ORIGINALS: 'true' };
  service = await ServiceProcess.start({
    settings: { ...settings, ...disk.env, DATA_DIR: dataDir },
    nodeOptions: disk.nodeOptions,
  });
  return service;
}

const stop = async () => expect(await service?.stop()).toEqual([0, null]);

const postFile = (url: string, file: Buffer, fields: Record<string, string> = {}) => {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.set(name, value);
  form.set('file', new Blob([new Uint8Array(file)]), 'file');
  return fetch(url, { method: 'POST', body: form });
};

/** What was acknowledged: id -> whether the item exists. Unknown after a write that was refused. */
class Ledger {
  readonly items = new Map<string, boolean | 'unknown'>();

  check(found: ReadonlySet<string>): void {
    const known = [...this.items].filter(([, state]) => state !== 'unknown');
    const wrong = known.filter(([id, exists]) => found.has(id) !== exists);
    expect(wrong).toEqual([]);
    expect([...found].filter((id) => !this.items.has(id))).toEqual([]);
  }
}

async function storedItems(url: string): Promise<string[]> {
  const items: string[] = [];
  for (let cursor = ''; ; ) {
    const reply = await fetch(`${url}/items?limit=100${cursor && `&cursor=${cursor}`}`);
    expect(reply.status).toBe(200);
    const page = (await reply.json()) as { items: { id: string }[]; next_cursor?: string };
    items.push(...page.items.map(({ id }) => id));
    if (page.next_cursor === undefined) return items;
    cursor = page.next_cursor;
  }
}

/** Demands that the kept files are exactly those that items refer to. No process may have the index open. */
async function expectOriginalsToMatch(dataDir: string): Promise<void> {
  const entries = await readdir(dataDir, { recursive: true, withFileTypes: true });
  const dir = entries.find(({ name }) => name === 'index.json')?.parentPath as string;
  const binding = JSON.parse(await readFile(path.join(dir, 'index.json'), 'utf8')) as ModelBinding;
  const ignore = () => {};
  const logger = { info: ignore, warn: ignore, error: ignore };
  const store = await openFaissStore({ dir, binding, logger });
  const { items } = await store.list({ limit: 1000 });
  await store.close();
  const referred = items.flatMap(({ original = [] }) =>
    original.flatMap((part) => ('file' in part ? [part.file] : [])),
  );
  const kept = (await readdir(path.join(dir, 'originals'), { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map(({ name }) => name);
  expect(referred.length).toBeGreaterThan(0);
  expect(kept.sort()).toEqual([...new Set(referred)].sort());
}

async function expectReadsToWork(url: string): Promise<void> {
  expect((await postJson(`${url}/retrieve`, { text: 'a car' })).status).toBe(200);
  expect((await fetch(`${url}/items?limit=5`)).status).toBe(200);
  expect((await fetch(`${url}/health`)).status).toBe(200);
  expect((await postJson(`${url}/embed/text`, { text: `not cached ${Math.random()}` })).status).toBe(200);
}

describe('a process whose disk fails', () => {
  it(`serves reads, refuses writes with what to do, and loses nothing (seed ${SEED})`, {
    timeout: 60_000 + ROUNDS * 20_000,
  }, async () => {
    const random = randomFrom(SEED);
    const ledger = new Ledger();
    const clip = await mp4('testsrc=duration=1:size=64x64:rate=5');
    let { url } = await serve();
    let refused = 0;

    const store = async (id: string, expected: number) => {
      const reply = await postJson(`${url}/items`, { id, text: `${id} `.repeat(Math.floor(random() * 600) + 1) });
      ledger.items.set(id, reply.status === 201 ? true : 'unknown');
      if (reply.status === 201) return;
      refused += 1;
      const problem = (await reply.json()) as { detail: string };
      expect(reply.status, problem.detail).toBe(expected);
      expect(problem.detail).toMatch(/disk|files open/);
    };

    for (let round = 0; round < ROUNDS; round++) {
      const fault = FAULTS[round % FAULTS.length] as (typeof FAULTS)[number];
      await disk.break({ ...fault, folder: dataDir, probability: random() < 0.5 ? 1 : 0.3, seed: SEED + round });
      for (let i = 0; i < 6; i++) await store(`item-${round}-${i}`, fault.status);
      const upload = await postFile(`${url}/embed/video`, clip);
      expect([200, fault.status]).toContain(upload.status);
      const known = [...ledger.items].find(([, state]) => state === true)?.[0];
      if (known !== undefined) {
        const { status } = await fetch(`${url}/items/${known}`, { method: 'DELETE' });
        expect([204, fault.status]).toContain(status);
        ledger.items.set(known, status === 204 ? false : 'unknown');
      }
      await expectReadsToWork(url);

      await disk.mend();
      const healed = await postJson(`${url}/items`, { id: `healed-${round}`, text: 'the disk is well again' });
      expect(healed.status).toBe(201);
      ledger.items.set(`healed-${round}`, true);
      ledger.check(new Set(await storedItems(url)));
      expect(service?.hasEnded).toBe(false);
      if (random() < 0.3) {
        await service?.kill();
        ({ url } = await serve());
        ledger.check(new Set(await storedItems(url)));
      }
    }
    // Without refusals the test proves nothing.
    expect(refused).toBeGreaterThan(ROUNDS);
    await stop();

    ({ url } = await serve());
    ledger.check(new Set(await storedItems(url)));
    expect(await readdir(path.join(dataDir, 'spool'))).toEqual([]);
    await stop();
    await expectOriginalsToMatch(dataDir);
  });

  it('does the same on a disk that is really full', { timeout: 120_000 }, async ({ skip }) => {
    if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=3m', 'tmpfs', dataDir]).status !== 0) {
      console.warn('LEFT OUT: a really full disk, because mounting a small one needs root');
      return skip();
    }
    isMounted = true;
    let { url } = await serve();
    const ledger = new Ledger();
    const store = async (id: string) => {
      const { status } = await postJson(`${url}/items`, { id, text: `${id} `.repeat(400) });
      ledger.items.set(id, status === 201 ? true : 'unknown');
      return status;
    };
    for (let i = 0; i < 20; i++) expect(await store(`before-${i}`)).toBe(201);
    const { bavail, bsize } = await statfs(dataDir);
    const filler = path.join(dataDir, 'filler');
    await writeFile(filler, Buffer.alloc(bavail * bsize));
    for (let i = 0; i < 20; i++) expect(await store(`full-${i}`)).toBe(507);
    const clip = await mp4('testsrc=duration=2:size=320x240:rate=25');
    expect((await postFile(`${url}/embed/video`, clip)).status).toBe(507);
    await expectReadsToWork(url);
    await rm(filler);
    for (let i = 0; i < 20; i++) expect(await store(`after-${i}`)).toBe(201);
    ledger.check(new Set(await storedItems(url)));
    await stop();
    ({ url } = await serve());
    ledger.check(new Set(await storedItems(url)));
    await stop();
    await expectOriginalsToMatch(dataDir);
  });
});
