/**
 * The throughput of the service beside the most that the machine can do, in one run.
 *
 *   node bench/inference/throughput.mjs [--seconds 5] [--only text]
 *
 * Estimate: the bundled model has 4.7 M weights in its blocks, 9.4 MFLOP per token, so 8 tokens are 75 MFLOP and 16
 * patches 150 MFLOP; two cores that sustain 60 GFLOP/s each do 1,600 texts or 800 images per second. A 12-megapixel JPEG
 * costs its entropy decoding at any output size (about 50 ms of one core, 40 per second on two); 300 frames of 720p
 * H.264 about 0.4 s of one core. So texts are bound by the model and media by the decoder. HTTP costs 0.2 ms of one core
 * per request, which texts on two cores cannot hide.
 *
 * service: over HTTP, with the load generator on the same cores. bare: the bare loop (bare.mjs), at its best batch size.
 * limit: the slower of decoding alone and inference alone, each with all cores.
 * HTTP alone: CPU time of a request in Fastify with an empty handler and in the load generator, together.
 * bound: the rate of the bare loop when each input costs that CPU time too.
 */

import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { load } from '../load.mjs';
import { startPeer } from '../peer.mjs';
import { startService } from '../service.mjs';
import { printTable } from '../table.mjs';
import { openBare, pipeline, rate } from './bare.mjs';
import { jpegs, texts, uniqueFile, videos } from './workloads.mjs';

const { values } = parseArgs({
  options: { seconds: { type: 'string', default: '5' }, only: { type: 'string', default: '' } },
});
const SECONDS = Number(values.seconds);
const CONCURRENCIES = [1, 8, 64];
const HTTP_ALONE_PORT = 18124;
/** Batch sizes of the bare loop; the best one counts. */
const BATCH = { text: [16, 64], image: [8, 16], video: [2, 4] };

const cycle = (items) => {
  let next = 0;
  return () => items[next++ % items.length];
};

const textRequest = (text) => ({ path: '/embed/text', type: 'application/json', body: JSON.stringify({ text }) });
const fileRequest = (route, type) => (file) => ({ path: `/embed/${route}`, type, body: uniqueFile(file, type) });

async function makeWorkloads() {
  const all = [
    { name: 'text, 8 tokens', kind: 'text', make: async () => texts(8, 4096), request: textRequest },
    { name: 'text, 64 tokens', kind: 'text', make: async () => texts(64, 4096), request: textRequest },
    { name: 'JPEG, 512x512', kind: 'image', make: () => jpegs(512, 512), request: fileRequest('image', 'image/jpeg') },
    {
      name: 'JPEG, 12 megapixels',
      kind: 'image',
      make: () => jpegs(4000, 3000),
      request: fileRequest('image', 'image/jpeg'),
    },
    { name: 'MP4, 10 s of 720p', kind: 'video', make: videos, request: fileRequest('video', 'video/mp4') },
  ];
  return all.filter(({ name }) => name.includes(values.only));
}

/** The best rate of the bare loop, and the limit: the slower of decoding alone and inference alone. */
async function measureBare(bare, { kind, items }, folder) {
  const next = cycle(await uploads(kind, items, folder));
  const prepare = kind === 'text' ? async () => bare.tokenize(next()) : () => bare.decode(next());
  const sequences = await Promise.all(Array.from({ length: 64 }, prepare));
  let [best, infer] = [0, 0];
  for (const size of BATCH[kind]) {
    best = Math.max(best, await pipeline(prepare, bare.infer, size, SECONDS));
    infer = Math.max(infer, size * (await rate(() => bare.infer(sequences.slice(0, size)), 1, SECONDS / 2)));
  }
  const decode = kind === 'text' ? Infinity : await rate(prepare, 2 * availableParallelism(), SECONDS);
  return { best, limit: Math.min(infer, decode) };
}

/** Inputs in the form of received uploads: images in memory, videos in files. */
async function uploads(kind, items, folder) {
  if (kind === 'text') return items;
  return Promise.all(
    items.map(async (bytes, i) => {
      const common = {
        size: bytes.length,
        sha256: createHash('sha256').update(bytes).digest('hex'),
        dispose: async () => {},
      };
      if (kind === 'image') return { ...common, modality: 'image', format: 'jpeg', bytes };
      const file = path.join(folder, `${i}.mp4`);
      await writeFile(file, bytes);
      return { ...common, modality: 'video', format: 'mp4', path: file };
    }),
  );
}

async function measureService(url, { request, items }) {
  const nextItem = cycle(items);
  const next = () => request(nextItem());
  await load(url, { concurrency: 4, seconds: 1, next });
  const runs = [];
  for (const concurrency of CONCURRENCIES)
    runs.push({ concurrency, ...(await load(url, { concurrency, seconds: SECONDS, next })) });
  return runs;
}

/** CPU time of one request with an empty handler, in ms, on both sides of the connection. */
async function measureHttpAlone({ request, items }) {
  const { url, stop } = await startPeer(
    HTTP_ALONE_PORT,
    process.execPath,
    'bench/peers/http-alone.mjs',
    String(HTTP_ALONE_PORT),
  );
  const nextItem = cycle(items);
  const run = () =>
    load(url, { concurrency: CONCURRENCIES.at(-1), seconds: SECONDS / 2, next: () => request(nextItem()) });
  const usedMs = async () => {
    const both = [process.cpuUsage(), await (await fetch(url)).json()];
    return both.reduce((sum, { user, system }) => sum + (user + system) / 1000, 0);
  };
  try {
    await run();
    const before = await usedMs();
    const { count } = await run();
    return ((await usedMs()) - before) / count;
  } finally {
    await stop();
  }
}

console.log(`${cpus()[0].model}, ${availableParallelism()} cores, Node ${process.version}, ${SECONDS} s a cell`);
const folder = await mkdtemp(path.join(tmpdir(), 'onespace-bench-'));
const rows = [];
const bounds = [];
for (const workload of await makeWorkloads()) {
  workload.items = await workload.make();
  const service = await startService();
  const runs = await measureService(service.url, workload);
  await service.stop();
  const bare = await openBare();
  const { best, limit } = await measureBare(bare, workload, folder);
  await bare.close();
  for (const { concurrency, perSecond, p50Ms, p99Ms } of runs) {
    rows.push({
      input: workload.name,
      concurrency,
      'service /s': perSecond,
      'p50 ms': p50Ms,
      'p99 ms': p99Ms,
      'bare /s': best,
      'limit /s': limit,
      'service / bare': perSecond / best,
    });
  }
  const httpMs = await measureHttpAlone(workload);
  const bound = 1 / (1 / best + httpMs / 1000 / availableParallelism());
  const { concurrency, perSecond } = runs.at(-1);
  bounds.push({
    input: workload.name,
    'bare /s': best,
    'HTTP alone, ms of a core': httpMs,
    'bound /s': bound,
    [`service /s at ${concurrency}`]: perSecond,
    'service / bare': perSecond / best,
    'service / bound': perSecond / bound,
  });
  console.error(`${workload.name}: done`);
}
printTable('Throughput', rows);
printTable('Throughput that HTTP leaves', bounds);
await rm(folder, { recursive: true });
