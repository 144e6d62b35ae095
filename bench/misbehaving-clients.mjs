/**
 * Good clients beside clients that come slowly, hang up and send nonsense: are the good ones served as before, and is
 * memory stable?
 *
 *   npm run build && node bench/misbehaving-clients.mjs [--minutes 120] [--rate 8]
 *
 * Good clients send `rate` requests a second at fixed times, whatever the replies take: texts, images and videos to
 * embed, items to store, replace, read and delete, searches. They run alone for a tenth of the time, then beside the
 * others (`bad-clients.mjs`). Estimate: the bad ones hold 80 connections and cost the decoding of a few damaged files
 * and the parsing of a few MB of JSON a second, in threads that are not the event loop's; so p99 may double where the
 * cores are busy, not more.
 */
import http from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';
import { jpegs, texts, videos } from './inference/workloads.mjs';
import { post, summarise } from './load.mjs';
import { random } from './random.mjs';
import { residentMB } from './resident-memory.mjs';
import { startService } from './service.mjs';
import { printTable } from './table.mjs';

const { values } = parseArgs({
  options: { minutes: { type: 'string', default: '120' }, rate: { type: 'string', default: '8' } },
});
const [MINUTES, RATE] = [values.minutes, values.rate].map(Number);
const ALONE_MINUTES = MINUTES / 10;
const WINDOWS = 10;
const SAMPLE_MS = 1000;
/**
 * Memory is compared where it stands after collections: a heap that may grow threefold before V8 looks through all of it
 * is between 80 and 140 MB at any other moment, and a window has only a few collections.
 */
const SETTLED = 0.05;
const MAX_GROWTH = 0.05;
const MAX_P99_RATIO = 2;
const ITEMS = 500;

// Small caches, so that both have begun to evict when memory is first measured.
const service = await startService({ CACHE_MB: '4', CACHE_DISK_MB: '8', MAX_QUEUE: '128' });
const next = random(11);
const pick = (list) => list[Math.floor(next() * list.length)];
const json = (path, body) => ({ path, type: 'application/json', body: JSON.stringify(body) });
const [images, clips] = [await jpegs(640, 480), await videos({ seconds: 2, size: '320x240' })];
const words = texts(12, 400);
const items = Array.from({ length: ITEMS }, (_, i) => `item-${i}`);

const GOOD = [
  () => json('/embed/text', { text: `${pick(words)} ${next()}` }),
  () => json('/retrieve', { text: `${pick(words)} ${next()}`, top_k: 10 }),
  () => json('/items', { id: pick(items), text: `${pick(words)} ${next()}`, metadata: { n: Math.floor(next() * 10) } }),
  () => json('/retrieve', { text: pick(words), filter: { n: 3 } }),
  () => ({ path: '/embed/image', type: 'image/jpeg', body: pick(images) }),
  () => ({ path: '/embed/video', type: 'video/mp4', body: pick(clips) }),
];

const agent = new http.Agent({ keepAlive: true });
let latencies = [];
const failures = new Map();

async function sendGood() {
  const request = pick(GOOD)();
  const start = performance.now();
  const { status } = await post(service.url, agent, request).catch((error) => ({ status: error.code }));
  latencies.push(performance.now() - start);
  if (status !== 200 && status !== 201) failures.set(status, (failures.get(status) ?? 0) + 1);
}

async function sendForMinutes(minutes) {
  const pending = new Set();
  const start = performance.now();
  for (let sent = 0; performance.now() - start < minutes * 60_000; sent++) {
    const one = sendGood().finally(() => pending.delete(one));
    pending.add(one);
    await sleep(Math.max(0, start + ((sent + 1) * 1000) / RATE - performance.now()));
  }
  await Promise.all(pending);
}

const rows = [];
/** Of all requests beside the others. */
const beside = [];
async function measure(phase, minutes) {
  latencies = [];
  const resident = [];
  const timer = setInterval(async () => resident.push(await residentMB(service.pid)), SAMPLE_MS);
  await sendForMinutes(minutes);
  clearInterval(timer);
  const { p50Ms, p99Ms, count } = summarise(latencies, minutes * 60);
  resident.sort((a, b) => a - b);
  const [settled, median] = [SETTLED, 0.5].map((share) => resident[Math.floor(share * resident.length)]);
  const memory = { 'resident MB, settled': settled, 'resident MB, median': median };
  rows.push({ phase, requests: count, 'p50 ms': p50Ms, 'p99 ms': p99Ms, ...memory });
  console.error(JSON.stringify(rows.at(-1)));
}

await sendForMinutes(ALONE_MINUTES / 2);
await measure('alone', ALONE_MINUTES);
const others = new Worker(new URL('./bad-clients.mjs', import.meta.url), {
  workerData: { url: service.url, items, images, clips },
});
// What the others hold is held once: memory is compared from here on.
await sendForMinutes(ALONE_MINUTES);
for (let window = 1; window <= WINDOWS; window++) {
  await measure(`beside others, ${window}`, (MINUTES - 2.5 * ALONE_MINUTES) / WINDOWS);
  beside.push(...latencies);
}
await others.terminate();

const [alone, ...windows] = rows;
const [first, last] = [windows.at(0), windows.at(-1)];
const worst = Math.max(...windows.map((row) => row['p99 ms']));
const growth = last['resident MB, settled'] / first['resident MB, settled'] - 1;
const failed = [...failures].map(([status, count]) => `${count} x ${status}`).join(', ');
printTable('Good clients, alone and beside clients that misbehave', rows);
printTable('Targets', [
  { target: 'good requests that failed', required: '0', measured: failed || 0 },
  { target: 'p99 of all / p99 alone', required: '', measured: summarise(beside, 1).p99Ms / alone['p99 ms'] },
  { target: 'p99 of the worst window / p99 alone', required: `< ${MAX_P99_RATIO}`, measured: worst / alone['p99 ms'] },
  { target: 'growth of memory', required: `< ${100 * MAX_GROWTH} %`, measured: `${(100 * growth).toFixed(1)} %` },
]);
agent.destroy();
await service.stop();
process.exit(failed === '' && worst / alone['p99 ms'] < MAX_P99_RATIO && growth < MAX_GROWTH ? 0 : 1);
