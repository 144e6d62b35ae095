/**
 * Exact search, three ways: a plain pass over the memory (the limit) | the bare faiss-node call |
 * our store. One run prints one table for each number of rows.
 *
 *   node bench/index/search.mjs [rows ...]        (default: 10000 100000)
 *
 * Back of the envelope, 256 dimensions in float32, one core:
 *   a row is 1 kB, so 100,000 rows are 102 MB and 1,000,000 are 1.02 GB
 *   memory at 10 GB/s: a pass takes 10 ms and 102 ms; no exact search of one query can be quicker
 *   one query is 25.6 and 256 million multiply-adds: at 2 per ns, 13 and 128 ms; arithmetic and memory tie
 *   32 queries in one pass read the memory once: 820 million multiply-adds as matrix product at
 *   20 per ns are 41 ms for 100,000 rows, 1.3 ms a query, 10 times the rate of one by one
 *   an insert of 100 rows writes 110 kB and syncs once: with 1 ms a sync, 1,000 batches a second at most
 *   on disk a row is twice 1.1 kB: in the journal until the next snapshot, and in the snapshot
 */
import { fork } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { openFaissStore } from '../../dist/src/index/faiss-store.js';
import { DIM, embeddings, quantile, queries } from './vectors.mjs';

const K = 10;
const QUERIES = 100;
const TOGETHER = 32;
const BATCH = 100;

const rssMb = () => process.memoryUsage().rss / 1e6;

async function timed(count, run) {
  const times = [];
  for (let i = 0; i < count; i++) {
    const start = performance.now();
    await run(i);
    times.push(performance.now() - start);
  }
  return times;
}

/** Reads every byte once: `indexOf` of a byte that is not there is a `memchr` over the whole. */
async function limit(rows) {
  const memory = Buffer.alloc(rows * DIM * 4, 1);
  const times = await timed(20, () => memory.indexOf(0));
  return { p50: quantile(times, 0.5), p99: quantile(times, 0.99), gbPerS: memory.length / quantile(times, 0.5) / 1e6 };
}

/** faiss-node as it is, in a process of its own. */
async function bare(rows) {
  const faiss = createRequire(import.meta.url)('faiss-node');
  const index = new faiss.IndexFlatIP(DIM);
  let block = [];
  for (const vector of embeddings(rows)) {
    block.push(...vector);
    if (block.length === 1000 * DIM) index.add(block.splice(0));
  }
  if (block.length > 0) index.add(block);
  block = [];
  const asked = queries(QUERIES).map((vector) => Array.from(vector));
  const top = asked.map((query) => index.search(query, K).labels);
  const one = await timed(QUERIES, (i) => index.search(asked[i], K));
  const together = asked.slice(0, TOGETHER).flat();
  const many = await timed(5, () => index.search(together, K));
  return {
    p50: quantile(one, 0.5),
    p99: quantile(one, 0.99),
    oneByOnePerS: (1000 * QUERIES) / one.reduce((a, b) => a + b),
    togetherPerS: (1000 * TOGETHER) / quantile(many, 0.5),
    rssMb: rssMb(),
    top,
  };
}

/** Our store, filled, in a process of its own. */
async function fill(rows, dir) {
  const store = await open(dir);
  const start = performance.now();
  let batch = [];
  let i = 0;
  let making = performance.now();
  let madeMs = 0;
  for (const vector of embeddings(rows)) {
    batch.push({
      id: `item-${String(i).padStart(8, '0')}`,
      modality: 'image',
      metadata: { i, hundredth: i % 100 },
      vector,
    });
    i += 1;
    if (batch.length < BATCH && i < rows) continue;
    madeMs += performance.now() - making;
    await store.upsert(batch);
    batch = [];
    making = performance.now();
  }
  const insertMs = performance.now() - start - madeMs;
  await store.close();
  return { insertsPerS: (1000 * rows) / insertMs };
}

async function ours(_rows, dir) {
  const opening = performance.now();
  const store = await open(dir);
  const openMs = performance.now() - opening;
  const asked = queries(QUERIES);
  const top = [];
  for (const vector of asked) top.push((await store.search(vector, { k: K })).map(({ metadata }) => metadata.i));
  const loop = monitorEventLoopDelay({ resolution: 1 });
  loop.enable();
  const one = await timed(QUERIES, (i) => store.search(asked[i], { k: K }));
  const started = performance.now();
  let next = 0;
  const client = async () => {
    while (next < 10 * TOGETHER) await store.search(asked[next++ % QUERIES], { k: K });
  };
  await Promise.all(Array.from({ length: TOGETHER }, client));
  const togetherMs = performance.now() - started;
  loop.disable();
  const filter = { hundredth: 7 };
  const [cold] = await timed(1, () => store.search(asked[0], { k: K, filter }));
  const warm = await timed(20, (i) => store.search(asked[i], { k: K, filter }));
  const [range] = await timed(1, () => store.search(asked[0], { k: K, filter: { i: { $lt: 100 } } }));
  const result = {
    openMs,
    p50: quantile(one, 0.5),
    p99: quantile(one, 0.99),
    oneByOnePerS: (1000 * QUERIES) / one.reduce((a, b) => a + b),
    togetherPerS: (1000 * 10 * TOGETHER) / togetherMs,
    filterColdMs: cold,
    filterWarmMs: quantile(warm, 0.5),
    rangeColdMs: range,
    loopP99Ms: loop.percentile(99) / 1e6,
    rssMb: rssMb(),
    top,
  };
  await store.close();
  return result;
}

const open = (dir) => {
  const ignore = () => {};
  const logger = { info: ignore, warn: console.error, error: console.error };
  return openFaissStore({ dir, binding: { model: 'bench', revision: '1', dim: DIM }, logger });
};

const ROLES = { limit, bare, fill, ours };

/** Each side has a process of its own, so that memory and threads are its own too. */
function inProcess(role, ...args) {
  return new Promise((resolve, reject) => {
    const child = fork(fileURLToPath(import.meta.url), [role, ...args.map(String)]);
    child.once('message', resolve);
    child.once('exit', (code) => reject(new Error(`${role} ended with ${code}`)));
  });
}

/** The share of the exact neighbours that were found, by position of the row. */
const recall = (found, exact) =>
  found.reduce((sum, rows, i) => sum + rows.filter((row) => exact[i].includes(row)).length, 0) / (K * exact.length);

async function bench(rows) {
  const dir = await mkdtemp(path.join(tmpdir(), 'onespace-bench-'));
  try {
    const memory = await inProcess('limit', rows);
    const faiss = await inProcess('bare', rows);
    const filled = await inProcess('fill', rows, dir);
    const store = await inProcess('ours', rows, dir);
    print(rows, memory, faiss, { ...filled, ...store });
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

function print(rows, memory, faiss, store) {
  const ms = (value) => value?.toFixed(1) ?? '-';
  const whole = (value) => (value === undefined ? '-' : Math.round(value).toLocaleString('en'));
  console.log(`\n${whole(rows)} rows x ${DIM}, k ${K}`);
  console.table({
    'one query p50, ms': { limit: ms(memory.p50), 'bare faiss-node': ms(faiss.p50), 'our store': ms(store.p50) },
    'one query p99, ms': { limit: ms(memory.p99), 'bare faiss-node': ms(faiss.p99), 'our store': ms(store.p99) },
    'queries/s one by one': {
      limit: whole(1000 / memory.p50),
      'bare faiss-node': whole(faiss.oneByOnePerS),
      'our store': whole(store.oneByOnePerS),
    },
    [`queries/s, ${TOGETHER} at once`]: {
      limit: '-',
      'bare faiss-node': `${whole(faiss.togetherPerS)} (one call)`,
      'our store': whole(store.togetherPerS),
    },
    'recall@10': { limit: '-', 'bare faiss-node': '1.000', 'our store': recall(store.top, faiss.top).toFixed(3) },
    'filter 1%: first, again, ms': { 'our store': `${ms(store.filterColdMs)}, ${ms(store.filterWarmMs)}` },
    'range filter: first, ms': { 'our store': ms(store.rangeColdMs) },
    'event loop delay p99, ms': { 'our store': ms(store.loopP99Ms) },
    [`durable inserts/s, batches of ${BATCH}`]: { 'our store': whole(store.insertsPerS) },
    'start-up, ms': { 'our store': whole(store.openMs) },
    'RSS, MB': { 'bare faiss-node': whole(faiss.rssMb), 'our store': whole(store.rssMb) },
  });
  console.log(`memory: ${memory.gbPerS.toFixed(1)} GB/s`);
}

const [role, ...args] = process.argv.slice(2);
if (role in ROLES) process.send(await ROLES[role](Number(args[0]), args[1]), () => process.exit(0));
else for (const rows of role === undefined ? [10_000, 100_000] : [role, ...args].map(Number)) await bench(rows);
