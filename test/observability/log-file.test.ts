import { spawnSync } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { ServiceProcess } from '../service-process.js';

const SOON = { timeout: 20_000 };
const folder = await mkdtemp(path.join(tmpdir(), 'onespace-log-'));
const small = path.join(folder, 'small');
const mounts = spawnSync('sh', ['-c', `mkdir ${small} && mount -t tmpfs -o size=64k tmpfs ${small}`]).status === 0;
afterAll(async () => {
  if (mounts) spawnSync('umount', [small]);
  await rm(folder, { recursive: true, force: true });
});

/** Each leaves a line of 10 kB, so that 450 fill four files of 1 MB. */
const MAX_REQUESTS = 2000;

const linesIn = async (file: string) => (await readFile(file, 'utf8')).trim().split('\n');

describe('LOG_FILE', () => {
  it('takes the log, down to the last line before the process ends', async () => {
    const service = await ServiceProcess.start({
      settings: { LOG_LEVEL: 'debug', LOG_FILE: path.join(folder, 'new', 'onespace.log') },
    });
    await fetch(`${service.url}/nothing`);
    await service.stop();
    expect(service.logs).toEqual([]);
    const lines = (await linesIn(path.join(folder, 'new', 'onespace.1.log'))).map((line) => JSON.parse(line));
    expect(lines.find(({ path: url }) => url === '/nothing')).toMatchObject({ status: 404 });
    expect(lines.at(-1).msg).toMatch(/^SIGTERM/);
  });

  it('begins a new file at LOG_MAX_MB and keeps LOG_MAX_DAYS files', async () => {
    const file = path.join(folder, 'rotating', 'onespace.log');
    const service = await ServiceProcess.start({
      settings: { LOG_LEVEL: 'debug', LOG_FILE: file, LOG_MAX_MB: '1', LOG_MAX_DAYS: '2' },
    });
    const long = 'x'.repeat(10_000);
    const written = () => readdir(path.dirname(file));
    // A file is left when a write finds it full: one more batch may be needed on a busy machine.
    for (let i = 0; i < MAX_REQUESTS && !(await written()).includes('onespace.4.log'); i += 50)
      await Promise.all(Array.from({ length: 50 }, (_, j) => fetch(`${service.url}/${i + j}${long}`)));
    await expect.poll(written, SOON).not.toContain('onespace.1.log');
    await service.stop();
    const files = await readdir(path.dirname(file));
    expect(files.length).toBeLessThanOrEqual(3);
    expect(files).toContain('onespace.4.log');
    for (const name of files)
      for (const line of await linesIn(path.join(folder, 'rotating', name))) if (line !== '') JSON.parse(line);
  });

  it.skipIf(!mounts)('costs lines when its disk is full, and nothing else', async () => {
    const service = await ServiceProcess.start({
      settings: { LOG_LEVEL: 'debug', LOG_FILE: path.join(small, 'onespace.log') },
    });
    const ballast = path.join(small, 'ballast');
    await writeFile(ballast, Buffer.alloc((await statfs(small)).bavail * 4096));
    for (let i = 0; i < 200; i++) expect((await fetch(`${service.url}/full-${i}`)).status).toBe(404);
    expect(service.stderr).toMatch(/cannot write its log: ENOSPC/);
    expect(service.stderr.match(/cannot write its log/g)).toHaveLength(1);
    expect(await service.series('onespace_disk_free_bytes{folder="log"}')).toBe(0);
    await rm(ballast);
    await fetch(`${service.url}/room-again`);
    const text = () => readFile(path.join(small, 'onespace.1.log'), 'utf8');
    await expect.poll(text, SOON).toContain('/room-again');
    await service.stop();
    expect(service.child.exitCode).toBe(0);
  });
});
