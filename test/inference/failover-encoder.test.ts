import { cp } from 'node:fs/promises';
import path from 'node:path';
import type { Worker } from 'node:worker_threads';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Device } from '../../src/inference/device.js';
import type { Encoder } from '../../src/inference/encoder.js';
import { FailoverEncoder } from '../../src/inference/failover/failover-encoder.js';
import type { Target } from '../../src/inference/failover/target.js';
import { openLocalEncoder } from '../../src/inference/families/index.js';
import { type Model, openModel } from '../../src/models/catalog.js';
import type { UnifiedManifest } from '../../src/models/manifest.js';
import { Metrics } from '../../src/observability/metrics.js';
import { ModelCopies } from '../model-copies.js';

const logger = pino({ level: 'silent' });
const SOON = { timeout: 30_000 };
const SETTINGS = { MODELS_DIR: '', DTYPE: 'fp32' } as const;
let copies: ModelCopies;
let model: Model<UnifiedManifest>;
let expected: Float32Array;
let metrics: Metrics;
let encoder: FailoverEncoder | undefined;

beforeAll(async () => {
  copies = await ModelCopies.open();
  model = (await openModel('onespace-mini', SETTINGS)) as Model<UnifiedManifest>;
  encoder = await start([targetOn('cpu', model)]);
  expected = (await embed('a red car')).vector;
  await encoder.close();
});
afterEach(() => encoder?.close());
afterAll(() => copies.close());

/** A target named `device` whose sessions run on `session`: the tests have one device. */
const targetOn = (device: Device, { manifest, dir }: Model<UnifiedManifest>, session = device): Target => ({
  device,
  open: (onFailure) =>
    openLocalEncoder(
      { manifest, dir },
      {
        ...{ dtype: 'fp32', devices: [session], workers: 1, threads: 1, maxTokens: 512, maxSize: 64, maxQueue: 512 },
        ...{ metrics: metrics.openModel({ model: 'test@1', name: 'test', revision: '1' }), logger, onFailure },
      },
    ),
});

async function start(devices: Target[], retryMs = 2000): Promise<FailoverEncoder> {
  metrics = new Metrics();
  const ofModel = metrics.openModel({ model: 'onespace-mini@2', name: 'onespace-mini', revision: '2' });
  encoder = await FailoverEncoder.start({ devices, upstream: undefined, retryMs, metrics: ofModel, logger });
  return encoder;
}

const embed = (text: string) =>
  (encoder as Encoder).encode([{ text }], {
    ...{ modality: 'text', role: 'document', record: () => {} },
    signal: new AbortController().signal,
  });
const cosine = (a: Float32Array, b: Float32Array) => a.reduce((sum, x, i) => sum + x * (b[i] ?? 0), 0);
const lines = async (name: string) => (await metrics.registry.metrics()).split('\n').filter((l) => l.startsWith(name));

/** Makes the worker thread of the first target exit, `times` times. */
async function exitWorkers(times: number): Promise<void> {
  const { targets } = encoder as unknown as { targets: { encoder?: { workers: { worker: Worker }[] } }[] };
  for (let exits = 0; exits < times; ) {
    const worker = targets[0]?.encoder?.workers[0]?.worker;
    if (worker === undefined) {
      await new Promise((resolve) => setTimeout(resolve, 10));
      continue;
    }
    const exit = new Promise((resolve) => worker.once('exit', resolve));
    // A message that the worker cannot handle: it exits.
    worker.postMessage(null);
    await exit;
    exits++;
  }
}

describe('FailoverEncoder', () => {
  it('starts on the best device that works, and drops those that do not', async () => {
    await start([targetOn('cuda', model), targetOn('webgpu', model), targetOn('cpu', model)]);
    expect(encoder).toMatchObject({ device: 'cpu', isReady: true, degradation: undefined });
    expect(await lines('onespace_device_up')).toEqual(['onespace_device_up{device="cpu",model="onespace-mini@2"} 1']);
  });

  it('does not start on another device than the configured one', async () => {
    await expect(start([targetOn('webgpu', model)])).rejects.toThrow(/No device runs the model \(webgpu: /);
  });

  it('continues on the next device when the session fails at run time: no request fails', async () => {
    const broken = (await openModel(
      await copies.make({ name: 'broken', poison: 'all' }),
      SETTINGS,
    )) as Model<UnifiedManifest>;
    await start([targetOn('cuda', broken, 'cpu'), targetOn('cpu', model)], 3_600_000);
    expect(encoder).toMatchObject({ device: 'cuda', degradation: undefined });
    const encoded = await Promise.all(Array.from({ length: 20 }, () => embed('a red car')));
    for (const { vector } of encoded) expect(cosine(vector, expected)).toBeGreaterThan(1 - 1e-5);
    await expect.poll(() => encoder?.device, SOON).toBe('cpu');
    expect(encoder).toMatchObject({ isReady: true, degradation: { reason: 'the model failed on cuda' } });
    expect(encoder?.degradation?.since).toBeInstanceOf(Date);
    expect(await lines('onespace_device_')).toEqual(
      expect.arrayContaining([
        'onespace_device_moves_total{from="cuda",to="cpu",model="onespace-mini@2"} 1',
        'onespace_device_up{device="cuda",model="onespace-mini@2"} 0',
        'onespace_device_used{device="cpu",model="onespace-mini@2"} 1',
      ]),
    );
  });

  it('returns when the better device works again, tried beside the requests', async () => {
    const mended = (await openModel(
      await copies.make({ name: 'mended', poison: 'all' }),
      SETTINGS,
    )) as Model<UnifiedManifest>;
    await start([targetOn('cuda', mended, 'cpu'), targetOn('cpu', model)], 1000);
    await Promise.all(Array.from({ length: 10 }, () => embed('a red car')));
    await expect.poll(() => encoder?.device, SOON).toBe('cpu');
    await cp('models/onespace-mini/tokenizer.json', path.join(mended.dir, 'tokenizer.json'));
    for (let i = 0; encoder?.device !== 'cuda' && i < 3000; i++) {
      expect(cosine((await embed('a red car')).vector, expected)).toBeGreaterThan(1 - 1e-5);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    expect(encoder).toMatchObject({ device: 'cuda', degradation: undefined });
    expect(await lines('onespace_device_moves_total')).toEqual([
      'onespace_device_moves_total{from="cuda",to="cpu",model="onespace-mini@2"} 1',
      'onespace_device_moves_total{from="cpu",to="cuda",model="onespace-mini@2"} 1',
    ]);
  });

  it('continues on the next device when worker threads keep exiting, with the inputs that waited for them', async () => {
    await start([targetOn('cuda', model, 'cpu'), targetOn('cpu', model)], 3_600_000);
    const exited = exitWorkers(3);
    const waiting = Array.from({ length: 20 }, () => embed('a red car'));
    for (const { vector } of await Promise.all(waiting)) expect(cosine(vector, expected)).toBeGreaterThan(1 - 1e-5);
    await exited;
    await expect.poll(() => encoder?.device, SOON).toBe('cpu');
    expect(encoder?.degradation?.reason).toBe('worker threads kept exiting on cuda');
  });

  it('is down while no device runs it, refuses at once, and recovers', async () => {
    await start([targetOn('cpu', model)]);
    await exitWorkers(3);
    await expect.poll(() => encoder?.isReady, SOON).toBe(false);
    await expect(embed('a red car')).rejects.toMatchObject({ code: 'unavailable', status: 503 });
    await expect.poll(() => encoder?.isReady, SOON).toBe(true);
    expect(cosine((await embed('a red car')).vector, expected)).toBeGreaterThan(1 - 1e-5);
  });

  it('an input that the model fails on does not fail the others', async () => {
    const picky = (await openModel(
      await copies.make({ name: 'picky', poison: 'car' }),
      SETTINGS,
    )) as Model<UnifiedManifest>;
    await start([targetOn('cpu', picky)]);
    for (let i = 0; i < 8; i++) {
      await expect(embed('car')).rejects.toMatchObject({ code: 'internal' });
      expect((await embed('a cat')).vector).toHaveLength(model.manifest.dim);
    }
    for (const outcome of await Promise.allSettled(Array.from({ length: 8 }, () => embed('car'))))
      expect(outcome).toMatchObject({ reason: { code: 'internal' } });
    expect((await embed('a cat')).vector).toHaveLength(model.manifest.dim);
    expect(encoder).toMatchObject({ isReady: true, degradation: undefined });
  });
});
