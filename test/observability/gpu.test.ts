import { chmod, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseGpus } from '../../src/observability/gpu.js';
import { ServiceProcess } from '../service-process.js';

describe('GPU readings', () => {
  it('have memory and load of each GPU', () => {
    expect(parseGpus('0, 1523, 81559, 37\n1, 0, 81559, 0\n')).toEqual([
      { gpu: '0', usedBytes: 1523 * 2 ** 20, totalBytes: 81559 * 2 ** 20, busyRatio: 0.37 },
      { gpu: '1', usedBytes: 0, totalBytes: 81559 * 2 ** 20, busyRatio: 0 },
    ]);
  });

  it('leave out GPUs whose values nvidia-smi does not report', () => {
    expect(parseGpus('0, [N/A], 81559, [N/A]\nNo devices were found\n')).toEqual([]);
  });
});

describe('GPU gauges of a running service', () => {
  let service: ServiceProcess;
  let folder: string;
  const nvidiaSmi = async (script: string) => {
    const file = path.join(folder, 'nvidia-smi');
    await writeFile(`${file}.new`, `#!/bin/sh\n${script}\n`);
    await chmod(`${file}.new`, 0o755);
    await rename(`${file}.new`, file);
  };
  const busy = () => service.series('onespace_gpu_busy_ratio{gpu="0"}');

  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'onespace-gpu-'));
    service = await ServiceProcess.start({ settings: { LOG_LEVEL: 'debug', PATH: `${folder}:${process.env.PATH}` } });
  });
  afterAll(async () => {
    await service.stop();
    await rm(folder, { recursive: true });
  });

  it('are absent without nvidia-smi, appear with it, and vanish when it fails', async () => {
    const SOON = { timeout: 20_000, interval: 500 };
    expect(await busy()).toBeUndefined();
    await nvidiaSmi('echo "0, 10, 100, 50"');
    await expect.poll(busy, SOON).toBe(0.5);
    await nvidiaSmi('echo "Failed to initialize NVML: Driver/library version mismatch"; exit 18');
    await expect.poll(busy, SOON).toBeUndefined();
    await nvidiaSmi('echo "0, 10, 100, 75"');
    await expect.poll(busy, SOON).toBe(0.75);
  });

  it('vanish when nvidia-smi hangs, and no scrape waits for it', async () => {
    await nvidiaSmi('echo "0, 10, 100, 25"');
    await expect.poll(busy, { timeout: 20_000, interval: 500 }).toBe(0.25);
    // `exec`: what is killed is the process that hangs.
    await nvidiaSmi('exec sleep 60');
    await sleep(1100);
    const start = performance.now();
    expect(await busy()).toBe(0.25);
    // It waits 50 ms for the reading; the bound leaves room for a busy machine. Waiting for the timeout takes 4 s.
    expect(performance.now() - start).toBeLessThan(2_000);
    await expect.poll(busy, { timeout: 20_000, interval: 500 }).toBeUndefined();
  });
});
