import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFile, rm, statfs, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { type FaissStore, openFaissStore } from '../../../src/store/faiss/store.js';
import type { Item } from '../../../src/store/vector-store.js';
import { BINDING, Oracle, randomFrom, randomItem, recorder, tempDir, unitVector } from '../support.js';

const DISK_BYTES = 2 * 1024 * 1024;

const mounted: string[] = [];
afterEach(() => {
  for (const dir of mounted.splice(0)) execFileSync('umount', [dir]);
});

/** A disk of 2 MiB, where this process may mount one. */
async function smallDisk(): Promise<string | undefined> {
  const dir = await tempDir();
  const { status } = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK_BYTES}`, 'tmpfs', dir]);
  if (status !== 0) return undefined;
  mounted.push(dir);
  return dir;
}

/** Takes all but a few bytes of what is free. */
async function fillUp(dir: string, leave: number): Promise<string> {
  const file = path.join(dir, 'filler');
  const { bavail, bsize } = await statfs(dir);
  await writeFile(file, Buffer.alloc(Math.max(0, bavail * bsize - leave)));
  return file;
}

const random = randomFrom(5);
const items = (count: number, prefix: string): Item[] =>
  Array.from({ length: count }, (_, i) => randomItem(random, `${prefix}-${i}`));

async function expectToHold(store: FaissStore, oracle: Oracle): Promise<void> {
  const { items: found } = await store.list({ limit: 1000 });
  expect(found.map(({ id }) => id)).toEqual([...oracle.items.keys()].sort().slice(0, 1000));
  const vector = unitVector(random);
  const hits = await store.search(vector, { k: 10 });
  expect(hits.map(({ id, score }) => ({ id, score }))).toEqual(oracle.search(vector, { k: 10 }));
  for (const id of oracle.items.keys()) expect(await store.get(id)).toEqual(oracle.items.get(id));
}

describe('on a full disk', () => {
  it('a write is refused as disk_full, reads continue, nothing acknowledged is lost', async ({ skip }) => {
    const disk = await smallDisk();
    if (disk === undefined) return skip('mounting a small disk needs root');
    const dir = path.join(disk, 'index');
    const oracle = new Oracle();
    const store = await openFaissStore({ dir, binding: BINDING, logger: recorder().logger });
    const first = items(200, 'before');
    await store.upsert(first);
    oracle.upsert(first);

    const filler = await fillUp(disk, 4096);
    const refused = items(200, 'refused');
    const attempts = await Promise.allSettled(refused.map((item) => store.upsert([item])));
    attempts.forEach((attempt, i) => {
      if (attempt.status === 'fulfilled') oracle.upsert([refused[i] as Item]);
      else expect(attempt.reason).toMatchObject({ code: 'disk_full' });
    });
    expect(attempts.some(({ status }) => status === 'rejected')).toBe(true);
    await expectToHold(store, oracle);

    await rm(filler);
    const after = items(50, 'after');
    await store.upsert(after);
    oracle.upsert(after);
    await expectToHold(store, oracle);
    await store.close();

    const again = await openFaissStore({ dir, binding: BINDING, logger: recorder().logger });
    await expectToHold(again, oracle);
    await again.close();
  });

  it('an original is refused as disk_full, and what was kept before stays', async ({ skip }) => {
    const disk = await smallDisk();
    if (disk === undefined) return skip('mounting a small disk needs root');
    const dir = path.join(disk, 'index');
    const store = await openFaissStore({ dir, binding: BINDING, logger: recorder().logger, keepOriginals: true });
    const source = (content: Buffer) => ({ content, sha256: createHash('sha256').update(content).digest('hex') });
    const small = source(Buffer.alloc(5000, 'a'));
    const kept = await store.originals?.keep([small]);
    const item = { ...(items(1, 'kept')[0] as Item), ...(kept && { original: kept.original }) };
    await store.upsert([item]);
    await kept?.commit();

    const filler = await fillUp(disk, 20_000);
    const large = source(Buffer.alloc(100_000, 'b'));
    await expect(store.originals?.keep([small, large])).rejects.toMatchObject({ code: 'disk_full' });
    expect(await readFile(store.originals?.pathOf(small.sha256) ?? '')).toEqual(small.content);
    expect(await store.get('kept-0')).toEqual(item);
    await rm(filler);
    expect(await store.originals?.keep([large])).toMatchObject({ original: [{ file: large.sha256 }] });
    await store.close();
  });

  it('a snapshot fails loudly, is cleared away, and succeeds when there is room', async ({ skip }) => {
    const disk = await smallDisk();
    if (disk === undefined) return skip('mounting a small disk needs root');
    const dir = path.join(disk, 'index');
    const oracle = new Oracle();
    const { logger, lines } = recorder();
    const outcomes: boolean[] = [];
    const events = { onSnapshot: ({ ok }: { ok: boolean }) => void outcomes.push(ok) };
    const store = await openFaissStore({ dir, binding: BINDING, logger, events });
    const stored = items(1000, 'item');
    await store.upsert(stored);
    oracle.upsert(stored);

    const filler = await fillUp(disk, 50_000);
    await store.snapshot();
    expect(outcomes).toEqual([false]);
    expect(lines.some(({ level, message }) => level === 'error' && message.includes('snapshot'))).toBe(true);
    const later = items(20, 'later');
    await store.upsert(later);
    oracle.upsert(later);
    await expectToHold(store, oracle);

    await rm(filler);
    await store.snapshot();
    expect(outcomes).toEqual([false, true]);
    await expectToHold(store, oracle);
    await store.close();

    const again = await openFaissStore({ dir, binding: BINDING, logger: recorder().logger });
    await expectToHold(again, oracle);
    await again.close();
  });
});
