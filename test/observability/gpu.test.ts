import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { parseGpus, readGpus } from '../../src/observability/gpu.js';

const PATH = process.env.PATH;
afterEach(() => {
  process.env.PATH = PATH;
});

describe('GPU readings', () => {
  it('reads memory and load of each GPU', () => {
    expect(parseGpus('0, 1523, 81559, 37\n1, 0, 81559, 0\n')).toEqual([
      { gpu: '0', usedBytes: 1523 * 2 ** 20, totalBytes: 81559 * 2 ** 20, busyRatio: 0.37 },
      { gpu: '1', usedBytes: 0, totalBytes: 81559 * 2 ** 20, busyRatio: 0 },
    ]);
  });

  it('skips GPUs whose values nvidia-smi does not report', () => {
    expect(parseGpus('0, [N/A], 81559, [N/A]\nNo devices were found\n')).toEqual([]);
  });

  it('runs the nvidia-smi on the path, and returns nothing where there is none', async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'onespace-gpu-'));
    process.env.PATH = folder;
    expect(await readGpus()).toEqual([]);
    await writeFile(path.join(folder, 'nvidia-smi'), '#!/bin/sh\necho "0, 10, 100, 50"\n');
    await chmod(path.join(folder, 'nvidia-smi'), 0o755);
    await new Promise((resolve) => setTimeout(resolve, 1100));
    expect(await readGpus()).toMatchObject([{ gpu: '0', busyRatio: 0.5 }]);
    await rm(folder, { recursive: true });
  });
});
