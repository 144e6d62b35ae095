import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LOCK_FILE } from '../../src/lib/directory-lock.js';

const run = promisify(execFile);
const SERVICE = 'dist/src/main.js';

let dataDir: string;
let children: ChildProcess[] = [];

beforeEach(async () => {
  dataDir = await mkdtemp(path.join(tmpdir(), 'onespace-data-'));
});
afterEach(async () => {
  for (const child of children) child.kill('SIGKILL');
  children = [];
  await rm(dataDir, { recursive: true, force: true });
});

const environment = () => ({ ...process.env, PORT: '0', LOG_LEVEL: 'error', DATA_DIR: dataDir });

/** Starts a service. @returns its URL, or what it says when it ends instead */
async function start(...before: string[]): Promise<{ child: ChildProcess; url?: string; stderr: string }> {
  const [command = process.execPath, ...args] = [...before, process.execPath, SERVICE];
  const child = spawn(command, args, { env: environment(), stdio: ['ignore', 'ignore', 'pipe'] });
  children.push(child);
  let stderr = '';
  for await (const line of createInterface({ input: child.stderr as never })) {
    stderr += `${line}\n`;
    const url = /ready .*(http:\/\/\S+)/.exec(line)?.[1];
    if (url !== undefined) return { child, url, stderr };
  }
  return { child, stderr };
}

const put = (url: string | undefined, id: string) =>
  fetch(`${url}/items`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ id, text: `a thing called ${id}` }),
  });

async function idsAt(url: string | undefined): Promise<string[]> {
  const { items } = (await (await fetch(`${url}/items`)).json()) as { items: { id: string }[] };
  return items.map(({ id }) => id);
}

const cli = (...args: string[]) => run(process.execPath, ['dist/src/cli/main.js', ...args], { env: environment() });

describe('DATA_DIR', { timeout: 120_000 }, () => {
  it('has one process: a second start and the commands are refused before they touch anything', async () => {
    const { child, url } = await start();
    const upload = path.join(dataDir, 'spool', 'under-way.upload');
    await mkdir(path.dirname(upload), { recursive: true });
    await writeFile(upload, 'being received');
    const before = await readdir(dataDir, { recursive: true });

    const second = await start();
    expect(second.url).toBeUndefined();
    expect(second.stderr).toContain(`cannot start: The data folder is in use by another process (pid ${child.pid} on `);
    for (const args of [['export', `${dataDir}.jsonl`], ['import', 'package.json'], ['reindex']])
      await expect(cli(...args)).rejects.toThrow(`(pid ${child.pid} on `);
    expect(await readFile(upload, 'utf8')).toBe('being received');
    expect(await readdir(dataDir, { recursive: true })).toEqual(before);
    expect((await put(url, 'one')).status).toBe(201);
  });

  it('belongs to one of two that start at the same time', async () => {
    const started = await Promise.all([start(), start()]);
    const [refused, ...others] = started.filter(({ url }) => url === undefined);
    expect(others).toEqual([]);
    expect(refused?.stderr).toMatch(/in use by another process/);
  });

  it('stays with a process that is stopped and continued', async () => {
    const { child, url } = await start();
    expect((await put(url, 'before')).status).toBe(201);
    child.kill('SIGSTOP');
    const second = await start();
    expect(second.stderr).toContain(`(pid ${child.pid} on `);
    child.kill('SIGCONT');
    expect((await put(url, 'after')).status).toBe(201);
    const exit = once(child, 'exit');
    child.kill('SIGTERM');
    expect(await exit).toEqual([0, null]);
    expect(await idsAt((await start()).url)).toEqual(['after', 'before']);
  });

  it('is free after kill -9, though the parent of the killed process never waits for it', async () => {
    for (let round = 0; round < 3; round++) {
      // The shell becomes `sleep`, the parent of a zombie.
      const { child, url, stderr } = await start('sh', '-c', 'echo $$ >&2; "$0" "$1" & echo $! >&2; exec sleep 60');
      expect((await put(url, `item ${round}`)).status).toBe(201);
      process.kill(Number(stderr.split('\n')[1]), 'SIGKILL');
      const next = await start();
      expect(next.stderr).toMatch(/ready/);
      expect(await idsAt(next.url)).toContain(`item ${round}`);
      const exits = [child, next.child].map((one) => once(one, 'exit'));
      child.kill('SIGKILL');
      next.child.kill('SIGKILL');
      await Promise.all(exits);
    }
  });

  it('is not written by a process whose lock files were removed; the next start has every acknowledged item', async () => {
    const { child, url } = await start();
    expect((await put(url, 'before')).status).toBe(201);
    await rm(path.join(dataDir, LOCK_FILE));
    await rm(path.join(dataDir, 'index', 'onespace-mini', LOCK_FILE));
    const refused = await put(url, 'refused');
    expect(refused.status).toBe(503);
    expect(await refused.json()).toMatchObject({ code: 'store_unavailable', detail: /lock file .*Restart/ });
    const health = (await (await fetch(`${url}/health`)).json()) as { index: object };
    expect(health.index).toMatchObject({ available: false, reason: expect.stringContaining('lock file') });

    const next = await start();
    expect(await idsAt(next.url)).toEqual(['before']);
    expect((await put(url, 'refused')).status).toBe(503);
    expect((await put(next.url, 'after')).status).toBe(201);
    const exit = once(child, 'exit');
    child.kill('SIGTERM');
    await exit;
    expect(await idsAt(next.url)).toEqual(['after', 'before']);
  });

  it('opens where it was copied to while the service was writing', async () => {
    const { url } = await start();
    expect((await put(url, 'one')).status).toBe(201);
    const copy = `${dataDir}-copy`;
    await cp(dataDir, copy, { recursive: true });
    const original = dataDir;
    dataDir = copy;
    expect(await idsAt((await start()).url)).toEqual(['one']);
    for (const child of children) child.kill('SIGKILL');
    await rm(copy, { recursive: true });
    dataDir = original;
  });
});
