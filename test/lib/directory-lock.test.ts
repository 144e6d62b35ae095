import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, readdir, readFile, rename, rm, truncate, utimes, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LOCK_FILE, lockDirectory } from '../../src/lib/directory-lock.js';

const HOLDER = fileURLToPath(new URL('lock-holder.mjs', import.meta.url));
const MODULE = fileURLToPath(new URL('../../dist/src/lib/directory-lock.js', import.meta.url));
const KILLS = 30;

let dir: string;
let children: ChildProcess[] = [];

beforeEach(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'onespace-lock-'));
});
afterEach(async () => {
  for (const child of children) child.kill('SIGKILL');
  children = [];
  await rm(dir, { recursive: true, force: true });
});

/** A process that tries to hold the lock of `dir`, and its answers. */
function start(...before: string[]) {
  const [command = process.execPath, ...args] = [...before, process.execPath, HOLDER, dir];
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  children.push(child);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return { child, answer: async () => (await lines.next()).value as string | undefined };
}

async function holder() {
  const started = start();
  expect(await started.answer()).toBe('held');
  return started;
}

async function kill(child: ChildProcess): Promise<void> {
  const exit = once(child, 'exit');
  child.kill('SIGKILL');
  await exit;
}

const lockFile = () => path.join(dir, LOCK_FILE);
const works = (command: string, ...args: string[]) => spawnSync(command, args).status === 0;
const REFUSED = /in use by another process/;

describe('the lock of a folder', () => {
  it('lets one in at a time, also of one process, and its file stays', async () => {
    const lock = await lockDirectory(dir);
    await expect(lockDirectory(dir)).rejects.toMatchObject({ code: 'conflict' });
    await lock.assertHeld();
    await lock.release();
    expect(await readdir(dir)).toEqual([LOCK_FILE]);
    await (await lockDirectory(dir)).release();
    expect(await readFile(lockFile(), 'utf8')).toBe('');
  });

  it('is held by one of many that open at once', async () => {
    const outcomes = await Promise.allSettled(Array.from({ length: 8 }, () => lockDirectory(dir)));
    const held = outcomes.flatMap((lock) => (lock.status === 'fulfilled' ? [lock.value] : []));
    expect(held).toHaveLength(1);
    await held[0]?.release();
  });

  it('is held by one of many processes that start at once', async () => {
    const answers = await Promise.all(Array.from({ length: 6 }, () => start().answer()));
    expect(answers.filter((answer) => answer === 'held')).toHaveLength(1);
    for (const answer of answers.filter((one) => one !== 'held')) expect(answer).toMatch(REFUSED);
  });

  it('names the process that holds it, and its host; says when it does not know', async () => {
    const { child } = await holder();
    await expect(lockDirectory(dir)).rejects.toThrow(`(pid ${child.pid} on ${hostname()}, since 20`);
    await truncate(lockFile());
    await expect(lockDirectory(dir)).rejects.toThrow('(which one is unknown)');
    await kill(child);
    await (await lockDirectory(dir)).release();
  });

  it('is kept by a process that is stopped and continued', async () => {
    const { child, answer } = await holder();
    child.kill('SIGSTOP');
    await expect(lockDirectory(dir)).rejects.toThrow(`pid ${child.pid}`);
    child.kill('SIGCONT');
    child.kill('SIGUSR2');
    expect(await answer()).toBe('still held');
    await expect(lockDirectory(dir)).rejects.toThrow(REFUSED);
  });

  it(`is free at once after kill -9, ${KILLS} times, though the killed process is a zombie`, async () => {
    for (let round = 0; round < KILLS; round++) {
      // The parent, `sleep`, never waits for its child.
      const script = `"$0" "$1" "$2" & echo $!; exec sleep 60`;
      const { child, answer } = start('sh', '-c', script);
      const pid = Number(await answer());
      expect(await answer()).toBe('held');
      process.kill(pid, 'SIGKILL');
      await (await lockDirectory(dir)).release();
      expect(await readFile(`/proc/${pid}/stat`, 'utf8')).toContain(') Z ');
      await kill(child);
    }
  });

  it('excludes processes in other pid namespaces, where each is process 1', async ({ skip }) => {
    const apart = ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc'] as const;
    if (!works(...apart, 'true')) return skip('LEFT OUT: this user may not make pid namespaces');
    const first = start(...apart);
    expect(await first.answer()).toBe('held');
    expect(await start(...apart).answer()).toMatch(/another process \(pid 1 on /);
    await expect(lockDirectory(dir)).rejects.toThrow('(pid 1 on ');
    await kill(first.child);
    const next = start(...apart);
    expect(await next.answer()).toBe('held');
  });

  it('does not depend on the clock, nor on the times of its file', async ({ skip }) => {
    if (!works('faketime', '--version')) return skip('LEFT OUT: faketime is not installed');
    for (const shift of ['-1h', '+1h']) {
      // The monotonic clock, which timers use, stays as it is on a machine whose time is set.
      const shifted = ['env', 'FAKETIME_DONT_FAKE_MONOTONIC=1', 'faketime', '-f', shift];
      const { child } = await holder();
      expect(await start(...shifted).answer()).toMatch(REFUSED);
      await kill(child);
      const other = start(...shifted);
      expect(await other.answer()).toBe('held');
      await utimes(lockFile(), 0, 0);
      await expect(lockDirectory(dir)).rejects.toThrow(REFUSED);
      // faketime starts the process and waits for it: its child is the holder.
      process.kill(Number(JSON.parse(await readFile(lockFile(), 'utf8')).pid), 'SIGKILL');
      await (await lockDirectory(dir)).release();
    }
  });

  it('is lost when its file is removed, and stays lost when another process has made it again', async () => {
    const lock = await lockDirectory(dir);
    await rm(lockFile());
    await expect(lock.assertHeld()).rejects.toMatchObject({ code: 'store_unavailable' });
    const { child } = await holder();
    await expect(lock.assertHeld()).rejects.toThrow(/lock file .* was removed/);
    await kill(child);
    await expect(lock.assertHeld()).rejects.toThrow(/lock file .* was removed/);
    await lock.release();
  });

  it('is lost when the folder is replaced by a copy; the copy has a lock of its own', async () => {
    const lock = await lockDirectory(dir);
    const copy = `${dir}-copy`;
    await cp(dir, copy, { recursive: true });
    await (await lockDirectory(copy)).release();
    await rename(dir, `${dir}-before`);
    await rename(copy, dir);
    await expect(lock.assertHeld()).rejects.toThrow(/folder replaced/);
    await (await lockDirectory(dir)).release();
    await lock.release();
    await rm(`${dir}-before`, { recursive: true });
  });

  it('ends with the worker thread that holds it', async () => {
    const code = `
      import { Worker } from 'node:worker_threads';
      import { lockDirectory } from ${JSON.stringify(MODULE)};
      const hold = \`import(${JSON.stringify(MODULE)}).then(async ({ lockDirectory }) => {
        globalThis.lock = await lockDirectory('.');
        require('node:worker_threads').parentPort.postMessage('held');
        setInterval(() => {}, 1000);
      })\`;
      const worker = new Worker(hold, { eval: true, execArgv: [] });
      await new Promise((resolve) => worker.once('message', resolve));
      const refused = await lockDirectory('.').then(() => 'not refused', ({ code }) => code);
      await worker.terminate();
      const lock = await lockDirectory('.');
      await lock.assertHeld();
      process.stdout.write(refused);`;
    const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', code], { cwd: dir });
    expect(`${stdout}${stderr}`).toBe('conflict');
  });

  it('does not keep a process alive', async () => {
    const code = `import(${JSON.stringify(MODULE)}).then(async ({ lockDirectory }) => { globalThis.lock = await lockDirectory('.'); })`;
    expect(spawnSync(process.execPath, ['-e', code], { cwd: dir, timeout: 20_000 }).status).toBe(0);
  });

  it.each(['ENOLCK', 'EOPNOTSUPP', 'EINVAL'])('refuses a file system that cannot lock (%s)', async (code) => {
    const trace = ['strace', '-f', '-o', '/dev/null', '-P', lockFile(), '-e', `inject=fcntl:error=${code}`];
    if (!works('strace', '-o', '/dev/null', 'true')) return console.warn('LEFT OUT: strace cannot trace here');
    await writeFile(lockFile(), '');
    expect(await start(...trace).answer()).toMatch(
      /The file system of .* cannot lock files \(.*Put DATA_DIR on a local/,
    );
  });

  it('says when the folder cannot be written', async ({ skip }) => {
    if (!works('mount', '-t', 'tmpfs', '-o', 'ro', 'tmpfs', dir)) return skip('LEFT OUT: mounting needs root');
    try {
      await expect(lockDirectory(dir)).rejects.toThrow(/cannot be written \(EROFS\)/);
    } finally {
      spawnSync('umount', [dir]);
    }
  });
});
