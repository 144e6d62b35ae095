import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { lockDirectory } from '../../../src/store/faiss/directory-lock.js';
import { tempDir } from '../support.js';

const LOCK_MODULE = fileURLToPath(new URL('../../../dist/src/store/faiss/directory-lock.js', import.meta.url));
const locksIn = async (dir: string) => (await readdir(dir)).filter((name) => name.startsWith('lock-'));

/** A process that holds the lock of a folder until it is killed. */
async function holder(dir: string) {
  const code = `import(${JSON.stringify(LOCK_MODULE)}).then(async ({ lockDirectory }) => {
    await lockDirectory(${JSON.stringify(dir)}); console.log('held'); setInterval(() => {}, 1000); });`;
  const child = spawn(process.execPath, ['-e', code], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  return child;
}

describe('the lock of an index folder', () => {
  it('lets one in at a time', async () => {
    const dir = await tempDir();
    const lock = await lockDirectory(dir);
    await expect(lockDirectory(dir)).rejects.toMatchObject({ code: 'conflict' });
    await lock.release();
    await (await lockDirectory(dir)).release();
    expect(await locksIn(dir)).toEqual([]);
  });

  it('names the live process that holds it, and passes to the next when that is killed', async () => {
    const dir = await tempDir();
    const child = await holder(dir);
    await expect(lockDirectory(dir)).rejects.toThrow(`pid ${child.pid}`);
    child.kill('SIGKILL');
    await once(child, 'exit');
    const lock = await lockDirectory(dir);
    expect(await locksIn(dir)).toHaveLength(1);
    await lock.release();
  });

  it('is not held by a later process with the pid of an ended one', async () => {
    const dir = await tempDir();
    const child = await holder(dir);
    const [name] = await locksIn(dir);
    const file = path.join(dir, name as string);
    child.kill('SIGKILL');
    await once(child, 'exit');
    const owner = JSON.parse(await readFile(file, 'utf8')) as object;
    await writeFile(file, JSON.stringify({ ...owner, pid: process.pid }));
    await (await lockDirectory(dir)).release();
  });

  it('respects a holder in another container for as long as its heartbeat continues', async () => {
    const dir = await tempDir();
    const file = path.join(dir, 'lock-elsewhere');
    await writeFile(file, JSON.stringify({ pid: 1, world: 'another machine' }));
    await expect(lockDirectory(dir)).rejects.toMatchObject({ code: 'conflict' });
    const longAgo = new Date(Date.now() - 60_000);
    await utimes(file, longAgo, longAgo);
    await (await lockDirectory(dir)).release();
    expect(await locksIn(dir)).toEqual([]);
  });

  it('is never held by two of many that open at once', async () => {
    const dir = await tempDir();
    const locks = await Promise.allSettled(Array.from({ length: 8 }, () => lockDirectory(dir)));
    const held = locks.flatMap((lock) => (lock.status === 'fulfilled' ? [lock.value] : []));
    expect(held.length).toBeLessThanOrEqual(1);
    for (const lock of held) await lock.release();
    expect(await locksIn(dir)).toEqual([]);
  });

  it('does not keep a process alive', async () => {
    const dir = await tempDir();
    const code = `import(${JSON.stringify(LOCK_MODULE)}).then(({ lockDirectory }) => lockDirectory('.'))`;
    expect(spawnSync(process.execPath, ['-e', code], { cwd: dir, timeout: 20_000 }).status).toBe(0);
  });
});
