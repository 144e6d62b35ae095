/**
 * Search and storage, all sides in one run: the service over HTTP with exact search | with INDEX=hnsw | a bare
 * faiss-node call | Chroma over HTTP | one pass over the memory, which is the limit of exact search. Chroma searches an
 * HNSW graph, so compare it with the second.
 *
 *   node bench/store/search.mjs [--sizes 10000,100000,1000000] [--sides http,hnsw,bare,chroma,limit] [--seconds 2]
 *                               [--inserts 20000] [--graph-max 100000] [--chroma-ef 100]
 *
 * Graphs take long to build: sizes over --graph-max run without them, and so do sizes that the service searches exactly.
 * Every server is filled, receives the last rows in batches of 100 (the rate of durable inserts), is ended by SIGKILL,
 * started again (start-up: until it answers a search), and then searched.
 *
 * Estimate for 256 dimensions in float32 on one core:
 *   a row is 1 kB, so 100,000 rows are 102 MB and 1,000,000 are 1.02 GB
 *   memory at 10 GB/s: a pass takes 10 ms and 102 ms; no exact search of one query can be faster
 *   one query is 25.6 and 256 million multiply-adds: at 2 per ns, 13 and 128 ms, about as long as the memory takes
 *   32 queries in one pass read the memory once: 820 million multiply-adds as a matrix product at
 *   20 per ns are 41 ms for 100,000 rows, 1.3 ms per query, 10 times the rate of single queries
 *   HTTP adds a body of 3 kB to parse and ten results to write: about 0.3 ms, 1 % of a pass at 100,000 rows
 *   a 1 % filter leaves 1,000 and 10,000 rows of 1 kB to read one by one: at 1 us each, 1 and 10 ms
 *   a batch of 100 rows is 300 kB of JSON, 3 ms to parse, and 110 kB of write-ahead log with one sync, 1 ms or more:
 *   about 20,000 rows per second at most, one batch after another
 *   start-up reads and verifies 1.1 GB at 1 GB/s or more, and passes it to FAISS: some seconds
 */
import { availableParallelism, cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { printTable } from '../table.mjs';
import { inOwnProcess } from './own-process.mjs';
import { chroma, chromaCommand } from './sides/chroma.mjs';
import { onespace } from './sides/onespace.mjs';
import { measureServer } from './sides/server.mjs';
import { targets } from './targets.mjs';
import { DIM } from './vectors.mjs';

const K = 10;
const QUERIES = 100;
const CONCURRENCY = 32;
const FEW_INSERTS = 1000;

const { values } = parseArgs({
  options: {
    sizes: { type: 'string', default: '10000,100000,1000000' },
    sides: { type: 'string', default: 'http,hnsw,bare,chroma,limit' },
    seconds: { type: 'string', default: '2' },
    inserts: { type: 'string', default: '20000' },
    'graph-max': { type: 'string', default: '100000' },
    'chroma-ef': { type: 'string', default: '100' },
  },
});
const sides = values.sides.split(',');
const seconds = Number(values.seconds);
const load = { seconds, queryCount: QUERIES, k: K, concurrency: CONCURRENCY, inserts: Number(values.inserts) };

const MEASURES = {
  http: (rows) => measureServer(onespace(), rows, load),
  // Rows inserted after the last snapshot are searched exactly, so there are few of them here.
  hnsw: (rows) => measureServer(onespace('hnsw'), rows, { ...load, inserts: FEW_INSERTS }),
  bare: (rows) => inOwnProcess('sides/bare.mjs', rows, load),
  chroma: (rows) => measureServer(chroma(Number(values['chroma-ef'])), rows, load),
  limit: (rows) => inOwnProcess('sides/limit.mjs', rows, seconds),
};
const TITLES = {
  http: 'onespace, HTTP',
  hnsw: 'onespace, HTTP, hnsw',
  bare: 'bare faiss-node',
  chroma: 'Chroma, HTTP',
  limit: 'limit: memory',
};
/** A snapshot with fewer rows is searched exactly with any INDEX. */
const GRAPH_MIN = 10_000;
const graphMax = Number(values['graph-max']);

const isSkipped = (side, rows) =>
  (side === 'hnsw' && rows - FEW_INSERTS < GRAPH_MIN) || (['hnsw', 'chroma'].includes(side) && rows > graphMax);

async function measure(rows) {
  const measured = {};
  for (const side of sides) {
    if (isSkipped(side, rows)) continue;
    console.error(`${rows} rows: ${side}`);
    measured[side] = await MEASURES[side](rows);
  }
  return measured;
}

/** The fraction of the exact neighbours that were found. */
const recall = (found, exact) =>
  found.reduce((sum, rows, i) => sum + rows.filter((row) => exact[i].includes(row)).length, 0) / (K * exact.length);

const inQueries = (side, one, many) => ({
  side,
  'p50 ms': one?.p50Ms,
  'p99 ms': one?.p99Ms,
  'queries/s': one?.perSecond,
  [`queries/s, ${CONCURRENCY} at once`]: many?.perSecond,
  [`p50 ms, ${CONCURRENCY} at once`]: many?.p50Ms,
  [`p99 ms, ${CONCURRENCY} at once`]: many?.p99Ms,
});

function print(rows, measured) {
  const all = Object.entries(measured).map(([side, result]) => ({ ...result, side: TITLES[side] }));
  const servers = all.filter(({ filteredOne }) => filteredOne);
  const exact = measured.bare?.topK;
  const heading = `${rows.toLocaleString('en')} rows x ${DIM}, the ${K} nearest`;
  printTable(
    heading,
    all.map(({ side, one, many, topK }) => ({
      ...inQueries(side, one, many),
      [`recall@${K}`]: exact && topK && recall(topK, exact).toFixed(3),
    })),
  );
  if (servers.length > 0) {
    printTable(
      `${heading} where a filter selects 1 %`,
      servers.map(({ side, filteredOne, filteredMany, firstFilteredMs }) => ({
        ...inQueries(side, filteredOne, filteredMany),
        'first, ms': firstFilteredMs,
      })),
    );
  }
  printTable(
    `${heading}: storage`,
    all.map(({ side, insertsPerSecond, startSeconds, residentMB, loopDelayP99Ms }) => ({
      side,
      'durable inserts/s': insertsPerSecond,
      'start-up, s': startSeconds,
      'resident MB': residentMB,
      'event loop delay p99, ms': loopDelayP99Ms,
    })),
  );
  const ratios = targets(measured);
  if (ratios.length > 0) printTable(`${heading}: targets`, ratios);
}

const unknown = sides.find((side) => !(side in MEASURES));
if (unknown !== undefined)
  throw new Error(`--sides: ${unknown} is unknown; it takes ${Object.keys(MEASURES).join(', ')}.`);
if (sides.includes('chroma') && chromaCommand() === undefined) {
  sides.splice(sides.indexOf('chroma'), 1);
  console.error('Chroma is not installed, its side is skipped. Install it: npm ci --prefix test/store/chroma/server');
}
console.log(`Node.js ${process.version}, ${availableParallelism()} cores, ${cpus()[0]?.model}`);
for (const rows of values.sizes.split(',').map(Number)) print(rows, await measure(rows));
