import { execFile } from 'node:child_process';
import { readdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Problem } from '../../src/common/errors.js';
import { type HostileFile, hostileFiles } from '../fuzz/corpus.js';
import { decodeBytes, ffmpeg, processesOf, useFolder } from './support.js';

describe('hostile files', () => {
  const folder = useFolder();
  let requests = 0;
  const canary = createServer((_, response) => {
    requests += 1;
    response.end();
  });
  let files: HostileFile[] = [];
  const fileNamed = (name: string) => files.find((file) => file.name === name)?.bytes ?? Buffer.alloc(0);

  beforeAll(async () => {
    await new Promise<void>((resolve) => canary.listen(0, '127.0.0.1', resolve));
    const { port } = canary.address() as AddressInfo;
    files = await hostileFiles(ffmpeg.path, folder.path, `http://127.0.0.1:${port}/canary`);
  });
  afterAll(() => canary.close());

  it('are answered with an allowed problem or with frames, and leave nothing behind', async () => {
    const wrong: string[] = [];
    for (const { name, bytes, allowed } of files) {
      const answer = await decodeBytes(bytes, folder.path).then(
        () => 'frames' as const,
        (error: unknown) => (error instanceof Problem ? error.code : String(error)),
      );
      if (!allowed.some((code) => code === answer)) wrong.push(`${name}: ${answer}, not ${allowed.join(' or ')}`);
    }
    expect(wrong).toEqual([]);
    expect(files.length).toBeGreaterThan(50);
    expect(requests).toBe(0);
    expect(await processesOf(folder.path)).toEqual([]);
    expect((await readdir(folder.path)).filter((name) => name.endsWith('.upload'))).toEqual([]);
  }, 120_000);

  it('include a reference to another file that ffmpeg follows without our options', async () => {
    const file = path.join(folder.path, 'external.mov');
    await writeFile(file, fileNamed('MOV whose video is in another file'));
    const follow = ['-enable_drefs', '1', '-use_absolute_path', '1', '-i', file, '-frames:v', '1'];
    const toBytes = ['-loglevel', 'error', ...follow, '-f', 'rawvideo', '-pix_fmt', 'rgb24', 'pipe:1'];
    const { stdout } = await promisify(execFile)(ffmpeg.path, toBytes, { encoding: 'buffer' });
    expect(stdout.length).toBe(64 * 64 * 3);
  });
});
