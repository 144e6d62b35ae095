/**
 * The cost of a request by length of a text, frames of a video, concurrency and number of session threads.
 *
 *   node bench/inference/growth.mjs [--seconds 3]
 *
 * Estimate: the blocks of the model take 9.4 MFLOP per token, so one text of 64 tokens is 0.6 GFLOP, about 6 ms on two
 * cores, and the cost is proportional to the tokens (attention matters from hundreds on). HTTP adds 0.25 ms of one core
 * and two messages between threads. More requests at once raise throughput until the cores are busy; more session
 * threads than cores gain nothing.
 */
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { load } from '../load.mjs';
import { startService } from '../service.mjs';
import { printTable } from '../table.mjs';
import { openBare } from './bare.mjs';
import { texts } from './workloads.mjs';

const { values } = parseArgs({ options: { seconds: { type: 'string', default: '3' } } });
const seconds = Number(values.seconds);
const PATCHES = 16;

const request = (text) => ({ path: '/embed/text', type: 'application/json', body: JSON.stringify({ text }) });
function requests(tokens) {
  const words = texts(tokens, 4096);
  let next = 0;
  return () => request(words[next++ % words.length]);
}

async function medianMs(task) {
  const times = [];
  const end = performance.now() + seconds * 1000;
  while (performance.now() < end) {
    const start = performance.now();
    await task();
    times.push(performance.now() - start);
  }
  return times.sort((a, b) => a - b)[Math.floor(times.length / 2)];
}

/** The token sequence of a video of `frames` frames of 64x64 pixels. */
function videoSequence(frames) {
  const count = frames * PATCHES;
  const positions = Float32Array.from({ length: 3 * count }, (_, i) => (i % 3 === 0 ? Math.floor(i / 48) / 4 : 0.5));
  return { ids: new Int32Array(0), patches: new Uint8Array(count * 768).fill(127), positions };
}

async function lengths() {
  const service = await startService();
  const bare = await openBare();
  await load(service.url, { concurrency: 1, seconds: 1, next: requests(8) });
  await bare.infer([bare.tokenize('a cat')]);
  const rows = [];
  for (const tokens of [1, 8, 16, 32, 64]) {
    const sequence = bare.tokenize(texts(tokens, 1)[0]);
    const callMs = await medianMs(() => bare.infer([sequence]));
    const { p50Ms } = await load(service.url, { concurrency: 1, seconds, next: requests(tokens) });
    rows.push({
      input: `text, ${tokens} tokens`,
      'bare call ms': callMs,
      'request ms': p50Ms,
      overhead: p50Ms - callMs,
    });
  }
  for (const frames of [1, 2, 4, 8, 16, 32]) {
    const sequence = videoSequence(frames);
    const callMs = await medianMs(() => bare.infer([sequence]));
    rows.push({ input: `${frames} frames, ${frames * PATCHES} patches`, 'bare call ms': callMs });
  }
  await bare.close();
  await service.stop();
  printTable('One request at a time (medians)', rows);
}

async function concurrencies() {
  const service = await startService();
  await load(service.url, { concurrency: 4, seconds: 1, next: requests(8) });
  const rows = [];
  for (const concurrency of [1, 2, 4, 8, 16, 32, 64, 128]) {
    const { perSecond, p50Ms, p99Ms } = await load(service.url, { concurrency, seconds, next: requests(8) });
    rows.push({ 'requests at once': concurrency, 'texts /s': perSecond, 'p50 ms': p50Ms, 'p99 ms': p99Ms });
  }
  await service.stop();
  printTable('Texts of 8 tokens', rows);
}

async function sessionThreads() {
  const cores = availableParallelism();
  const rows = [];
  for (let workers = 1; workers <= 2 * cores; workers *= 2) {
    const threads = Math.max(1, Math.floor(cores / workers));
    const service = await startService({ ENCODER_WORKERS: String(workers), ENCODER_THREADS: String(threads) });
    const row = { ENCODER_WORKERS: workers, ENCODER_THREADS: threads };
    for (const concurrency of [1, 64]) {
      const { perSecond, p50Ms } = await load(service.url, { concurrency, seconds, next: requests(16) });
      Object.assign(row, { [`/s at ${concurrency}`]: perSecond, [`p50 ms at ${concurrency}`]: p50Ms });
    }
    await service.stop();
    rows.push(row);
  }
  printTable('Session threads, texts of 16 tokens', rows);
}

console.log(`${availableParallelism()} cores, Node ${process.version}, ${seconds} s a cell`);
await lengths();
await concurrencies();
await sessionThreads();
process.exit(0);
