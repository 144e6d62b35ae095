import { setMaxListeners } from 'node:events';
import type { Worker } from 'node:worker_threads';
import { pino } from 'pino';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Dtype } from '../../src/common/dtype.js';
import { EncoderPool, type PoolOptions } from '../../src/inference/batching/encoder-pool.js';
import type { EncodedInput, Part } from '../../src/inference/encoder.js';
import type { Family } from '../../src/inference/families/family.js';
import { openUnified } from '../../src/inference/families/unified/family.js';
import type { TokenSequence } from '../../src/inference/families/unified/token-sequence.js';
import { type Model, openModel } from '../../src/models/catalog.js';
import type { UnifiedManifest } from '../../src/models/manifest.js';
import { Metrics } from '../../src/observability/metrics.js';
import type { RecordStage } from '../../src/observability/stage.js';

let model: Model<UnifiedManifest>;
let family: Family<TokenSequence>;
let pool: EncoderPool<TokenSequence> | undefined;

beforeAll(async () => {
  model = (await openModel('onespace-mini', { MODELS_DIR: '', DTYPE: 'fp32' })) as Model<UnifiedManifest>;
  family = await open();
});

const open = (dtype: Dtype = 'fp32', of = model) => openUnified(of, { dtype, devices: ['cpu'], threads: 1 });

afterEach(() => pool?.close());

type Encode = (input: Part[], signal?: AbortSignal, record?: RecordStage) => Promise<EncodedInput>;

async function start(
  options: Partial<PoolOptions> = {},
  of = family,
): Promise<{ pool: EncoderPool<TokenSequence>; encode: Encode; metrics: Metrics }> {
  const all = new Metrics();
  const metrics = all.openModel({ model: 'test@1', name: 'test', revision: '1' });
  const limits = { workers: 1, maxTokens: 512, maxSize: 64, maxQueue: 512 };
  const logger = pino({ level: 'silent' });
  const started = await EncoderPool.start(of, model.manifest.dim, { ...limits, metrics, logger, ...options });
  pool = started;
  const encode: Encode = (input, signal = new AbortController().signal, record = () => {}) =>
    started.encode(input, { modality: 'text', role: 'document', signal, record });
  return { pool: started, encode, metrics: all };
}

const inputOf = (...parts: (Part | { frames: unknown[] })[]) => parts as Part[];
const textOf = (text: string) => inputOf({ text });
const frame = (value: number, timeSeconds = 0) => ({
  width: 64,
  height: 48,
  timeSeconds,
  rgb: new Uint8Array(64 * 48 * 3).fill(value),
});
const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, x, i) => sum + x * (b[i] ?? 0), 0);

describe('EncoderPool', () => {
  it('returns unit vectors of the model dimension, and records the time of each stage', async () => {
    const seconds = new Map<string, number>();
    const { encode } = await start();
    const { vector } = await encode(textOf('a red car'), undefined, (stage, _, s) => seconds.set(stage, s));
    expect(vector).toHaveLength(model.manifest.dim);
    expect(Math.hypot(...vector)).toBeCloseTo(1, 5);
    expect([...seconds.keys()]).toEqual(['serialise', 'queue', 'inference']);
    expect(seconds.get('queue')).toBeGreaterThanOrEqual(0);
    expect(seconds.get('inference')).toBeGreaterThan(0);
  });

  it('returns each caller its own vector, the same in a batch with padding as alone', async () => {
    const { encode, metrics } = await start();
    const inputs = [
      ...Array.from({ length: 40 }, (_, i) => textOf(`number ${i} ${'and more '.repeat(i % 7)}`)),
      ...Array.from({ length: 10 }, (_, i) => inputOf({ frames: [frame(i * 20)] })),
      inputOf({ frames: [0, 1, 2].map((t) => frame(50 * t, t)) }),
      inputOf({ text: 'a dark square' }, { frames: [frame(10)] }),
    ];
    const alone: Float32Array[] = [];
    for (const input of inputs) alone.push((await encode(input)).vector);
    const batchesAlone = (await metrics.batchSize.get()).values.find(({ metricName }) =>
      metricName?.endsWith('_count'),
    )?.value;
    const together = await Promise.all(inputs.map((input) => encode(input)));
    together.forEach(({ vector }, i) => {
      for (const [k, x] of vector.entries()) expect(Math.abs(x - (alone[i]?.[k] ?? 0))).toBeLessThan(1e-5);
    });
    const batches = (await metrics.batchSize.get()).values.find(({ metricName }) =>
      metricName?.endsWith('_count'),
    )?.value;
    expect(batchesAlone).toBe(inputs.length);
    expect((batches ?? 0) - (batchesAlone ?? 0)).toBeLessThan(inputs.length / 2);
  });

  it('runs inputs that may wait in one batch, and those that wait in vain when their time is over', async () => {
    const { pool, metrics } = await start();
    const options = { modality: 'text', role: 'document', record: () => {} } as const;
    const patient = (text: string, patienceMs: number) =>
      pool.encode(textOf(text), { ...options, patienceMs, signal: new AbortController().signal });
    const batches = async () =>
      (await metrics.batchSize.get()).values.find(({ metricName }) => metricName?.endsWith('_count'))?.value;
    await Promise.all(Array.from({ length: 8 }, (_, i) => patient(`number ${i}`, 60_000)));
    expect(await batches()).toBe(1);
    const alone = await Promise.all([patient('alone', 20), patient('alone', 40)]);
    expect(await batches()).toBe(2);
    expect(dot(alone[0].vector, alone[1].vector)).toBeCloseTo(1, 5);
    const [waiting, urgent] = [
      patient('waits', 60_000),
      pool.encode(textOf('comes'), { ...options, signal: new AbortController().signal }),
    ];
    await Promise.all([waiting, urgent]);
    expect(await batches()).toBe(3);
    // Those that wait when the pool is closed are still answered.
    const last = patient('last', 60_000);
    await pool.close();
    expect((await last).vector).toHaveLength(model.manifest.dim);
  });

  it('distinguishes the order of frames: time is a dimension', async () => {
    const { encode } = await start();
    const video = (values: number[]) => inputOf({ frames: values.map((value, t) => frame(value, t)) });
    const [up, down] = await Promise.all([video([0, 80, 160, 240]), video([240, 160, 80, 0])].map((v) => encode(v)));
    expect(dot(up?.vector as Float32Array, down?.vector as Float32Array)).toBeLessThan(0.999);
  });

  it('refuses inputs at once when its queue is full, and counts them', async () => {
    const { encode, metrics } = await start({ maxQueue: 2, maxSize: 1 });
    const outcomes = await Promise.allSettled(Array.from({ length: 20 }, (_, i) => encode(textOf(`text ${i}`))));
    const refused = outcomes.filter((outcome) => outcome.status === 'rejected');
    expect(refused.length).toBeGreaterThan(0);
    expect(refused.every(({ reason }) => reason.code === 'overloaded')).toBe(true);
    const { values } = await metrics.refused.get();
    const full = values.find(({ labels }) => labels.reason === 'queue_full');
    expect(full?.value).toBe(refused.length);
  });

  it('drops the waiting work of a client that has disconnected', async () => {
    const { encode, metrics } = await start({ maxSize: 1 });
    const controller = new AbortController();
    setMaxListeners(0, controller.signal);
    const kept = Array.from({ length: 4 }, (_, i) => encode(textOf(`kept ${i}`)));
    const dropped = Array.from({ length: 50 }, (_, i) => encode(textOf(`dropped ${i}`), controller.signal));
    controller.abort();
    for (const outcome of await Promise.allSettled(dropped))
      expect(outcome).toMatchObject({ reason: { code: 'client_closed' } });
    await Promise.all(kept);
    const runs = (await metrics.batchSize.get()).values.find(({ metricName }) => metricName?.endsWith('_count'))?.value;
    expect(runs).toBeLessThan(10);
    await expect(encode(textOf('late'), controller.signal)).rejects.toMatchObject({ code: 'client_closed' });
  });

  it('finishes what it accepted before it closes, then refuses', async () => {
    const { pool, encode } = await start();
    const accepted = Array.from({ length: 30 }, (_, i) => encode(textOf(`text ${i}`)));
    const closed = pool.close();
    await expect(encode(textOf('too late'))).rejects.toMatchObject({ code: 'shutting_down' });
    expect((await Promise.all(accepted)).every(({ vector }) => vector.length === model.manifest.dim)).toBe(true);
    await closed;
    expect(pool.isReady).toBe(false);
  });

  it('replaces a worker that exits, runs its batches again, and counts it', async () => {
    const { pool, encode, metrics } = await start();
    const expected = (await encode(textOf('survivor'))).vector;
    // A message that the worker cannot handle: it exits, with batches waiting behind.
    const { workers } = pool as unknown as { workers: { worker: Worker }[] };
    workers[0]?.worker.postMessage(null);
    const waiting = Array.from({ length: 20 }, () => encode(textOf('survivor')));
    for (const { vector } of await Promise.all(waiting)) expect(dot(vector, expected)).toBeGreaterThan(1 - 1e-5);
    expect((await metrics.workerRestarts.get()).values).toMatchObject([{ value: 1 }]);
    expect(pool.isReady).toBe(true);
  });

  it('fails the one input that the model cannot run, not those that shared its batch', async () => {
    const poison = textOf('a fish');
    const prepare: typeof family.prepare = (parts, role) => {
      const prepared = family.prepare(parts, role);
      if (parts === poison) prepared.input.ids.fill(1_000_000); // beyond the vocabulary: the graph throws
      return prepared;
    };
    const { encode } = await start({}, { ...family, prepare });
    const good = ['a cat', 'a dog', 'a bird'].map(textOf);
    const alone: Float32Array[] = [];
    for (const input of good) alone.push((await encode(input)).vector);
    const [first, ...rest] = good;
    const running = Array.from({ length: 4 }, () => encode(textOf('keeps the worker busy')));
    const settled = await Promise.allSettled([first, poison, ...rest].map((input) => encode(input as Part[])));
    await Promise.all(running);
    expect(settled.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'fulfilled']);
    const vectors = settled.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value.vector] : []));
    vectors.forEach((vector, i) => {
      expect(dot(vector, alone[i] as Float32Array)).toBeCloseTo(1, 5);
    });
  });

  it('returns nearly the same vectors in 8-bit integers', async () => {
    const inputs = ['a red car', '一只猫', 'something else that is longer'].map(textOf);
    const exact = await (async () => {
      const { pool, encode } = await start();
      const vectors = await Promise.all(inputs.map((input) => encode(input)));
      await pool.close();
      return vectors;
    })();
    const { encode } = await start({}, await open('q8'));
    for (const [i, input] of inputs.entries()) {
      const { vector } = await encode(input);
      expect(dot(vector, exact[i]?.vector as Float32Array)).toBeGreaterThan(0.999);
    }
  });

  it('names each device and why it failed when none runs the model', async () => {
    const noGraph = { ...model.manifest, graphs: { fp32: model.manifest.tokenizer } };
    const broken = await open('fp32', { ...model, manifest: noGraph });
    await expect(start({}, broken)).rejects.toThrow(/No device runs the model \(cpu: /);
  });
});
