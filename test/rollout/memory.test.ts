import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ModelCopies } from '../model-copies.js';
import { ServiceProcess } from '../service-process.js';
import { writeTinyGemma } from '../tiny/gemma.js';

const CYCLES = 20;
/** Resident memory varies; one leaked session of the model is about 35 MB, twenty are 700. */
const NOISE_MB = 120;

let copies: ModelCopies;
let service: ServiceProcess;

beforeAll(async () => {
  copies = await ModelCopies.open();
  const settings = { LOG_LEVEL: 'error', DATA_DIR: path.join(copies.folder, 'data') };
  service = await ServiceProcess.start({ settings });
});
afterAll(async () => {
  await service.kill();
  await copies.close();
});

async function measure(): Promise<{ megabytes: number; threads: number }> {
  const status = await readFile(`/proc/${service.child.pid}/status`, 'utf8');
  const field = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1]);
  return { megabytes: field('VmRSS') / 1024, threads: field('Threads') };
}

async function call(method: string, route: string, body?: object): Promise<void> {
  const headers: Record<string, string> = body === undefined ? {} : { 'content-type': 'application/json' };
  const json = body === undefined ? null : JSON.stringify(body);
  const response = await fetch(service.url + route, { method, headers, body: json });
  expect(response.ok, await response.text()).toBe(true);
}

const candidates: Record<string, () => Promise<string>> = {
  'the bundled family': () => copies.make({ revision: 'next' }),
  'a model of the hub': async () => {
    const dir = path.join(copies.folder, 'gemma');
    await writeTinyGemma(dir);
    return dir;
  },
};

it.each(Object.keys(candidates))(
  'has no more memory and threads after twenty cycles of loading, use and unloading: %s',
  async (family) => {
    const model = await candidates[family]?.();
    const cycle = async (round: number) => {
      await call('POST', '/admin/rollout', { model, share_percent: 100 });
      for (let i = 0; i < 2; i++) await call('POST', '/items', { id: `item ${i}`, text: `thing ${i} of ${round}` });
      await call('POST', '/retrieve', { text: `thing ${round}` });
      await call('DELETE', '/admin/rollout');
    };
    // The first cycles fill caches and pools.
    for (let round = 0; round < 3; round++) await cycle(round);
    const before = await measure();
    for (let round = 0; round < CYCLES; round++) await cycle(100 + round);
    const after = await measure();
    expect(after.megabytes - before.megabytes).toBeLessThan(NOISE_MB);
    expect(after.threads).toBeLessThanOrEqual(before.threads);
  },
  600_000,
);
