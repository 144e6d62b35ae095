/**
 * Latency, recall and memory of the approximate indexes, against exact search on the same rows.
 *
 *   node bench/store/approximate.mjs [rows]        (default: 100000)
 *
 * Estimate for 256 dimensions: exact search keeps 1,024 bytes per row in memory, SQ8 256, PCA to 64 dimensions 256,
 * and HNSW32 the 1,024 and about 64 neighbour ids of 4 bytes, 1,280. The work of a query falls in proportion for PCA and
 * to some thousand inner products for HNSW; for SQ8 it stays. Candidates are scored again from the vectors on disk: 128
 * reads of 1 kB from the page cache, about 0.3 ms.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { openFaissStore } from '../../dist/src/store/faiss/store.js';
import { DIM, embeddings, quantile, queries } from './vectors.mjs';

const K = 10;
const QUERIES = 100;
const BATCH = 1000;

const ignore = () => {};
const open = (dir, kind, reports) =>
  openFaissStore({
    dir,
    binding: { model: 'bench', revision: '1', dim: DIM },
    logger: { info: ignore, warn: console.error, error: console.error },
    events: { onIndexInstalled: (report) => reports.push(report) },
    ...(kind && { approximateIndex: { kind } }),
  });

async function fill(dir, rows) {
  const store = await open(dir, undefined, []);
  const batch = [];
  let i = 0;
  for (const vector of embeddings(rows)) {
    batch.push({ id: `item-${i}`, modality: 'image', metadata: { i }, vector });
    i += 1;
    if (batch.length === BATCH || i === rows) await store.upsert(batch.splice(0));
  }
  await store.snapshot();
  await store.close();
}

async function measure(dir, kind) {
  const reports = [];
  const store = await open(dir, kind, reports);
  await store.idle();
  const times = [];
  const topK = [];
  for (const vector of queries(QUERIES)) {
    const start = performance.now();
    topK.push((await store.search(vector, { k: K })).map(({ id }) => id));
    times.push(performance.now() - start);
  }
  await store.close();
  return { times, topK, report: reports[0] };
}

const rows = Number(process.argv[2] ?? 100_000);
const dir = await mkdtemp(path.join(tmpdir(), 'onespace-bench-'));
try {
  await fill(dir, rows);
  const exact = await measure(dir, undefined);
  const table = {};
  for (const kind of [undefined, 'hnsw', 'sq8', 'pca']) {
    const { times, topK, report } = kind === undefined ? exact : await measure(dir, kind);
    const found = topK.reduce((sum, ids, i) => sum + ids.filter((id) => exact.topK[i].includes(id)).length, 0);
    table[kind ?? 'exact'] = {
      'query p50, ms': quantile(times, 0.5).toFixed(1),
      'query p99, ms': quantile(times, 0.99).toFixed(1),
      'recall@10': (found / (K * QUERIES)).toFixed(3),
      'recall@10 as reported': report?.recallAt10.toFixed(3) ?? '1',
      'bytes per row': Math.round(report ? report.bytes / report.rows : 4 * DIM),
      'built in, s': report ? (report.buildMs / 1000).toFixed(1) : '0',
    };
  }
  console.log(`${rows.toLocaleString('en')} rows x ${DIM}, k ${K}`);
  console.table(table);
} finally {
  await rm(dir, { recursive: true, force: true });
}
