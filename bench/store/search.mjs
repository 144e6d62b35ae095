/**
 * Search and storage, all sides in one run: the service over HTTP, exact | the same with INDEX=hnsw | the
 * bare faiss-node call | Chroma over HTTP | a plain pass over the memory, which is the limit of exact search.
 * Chroma searches a graph (HNSW), so it is to be compared with the second.
 *
 *   node bench/store/search.mjs [--sizes 10000,100000,1000000] [--sides http,hnsw,bare,chroma,limit] [--seconds 2]
 *                               [--inserts 20000] [--graph-max 100000] [--chroma-ef 100]
 *
 * Graphs take long to build: they are left out of sizes over --graph-max, and ours of sizes that the
 * service searches exactly.
 * Every server is filled, takes the last rows in batches of 100 (the rate of durable inserts), is killed
 * with SIGKILL and started again (start-up: until it has answered a search), and then searched.
 *
 * Back of the envelope, 256 dimensions in float32, one core:
 *   a row is 1 kB, so 100,000 rows are 102 MB and 1,000,000 are 1.02 GB
 *   memory at 10 GB/s: a pass takes 10 ms and 102 ms; no exact search of one query can be quicker
 *   one query is 25.6 and 256 million multiply-adds: at 2 per ns, 13 and 128 ms; arithmetic and memory tie
 *   32 queries in one pass read the memory once: 820 million multiply-adds as matrix product at
 *   20 per ns are 41 ms for 100,000 rows, 1.3 ms a query, 10 times the rate of one by one
 *   HTTP adds a body of 3 kB to parse and ten hits to write: about 0.3 ms, 1 % of a pass at 100,000 rows
 *   a 1 % filter leaves 1,000 and 10,000 rows of 1 kB to read one by one: at 1 us each, 1 and 10 ms
 *   a batch of 100 rows is 300 kB of JSON, 3 ms to parse, and 110 kB of journal with one sync, 1 ms or more:
 *   some 20,000 rows a second at most, one batch after the other
 *   start-up reads and checks 1.1 GB at 1 GB/s or more, and hands it to FAISS: some seconds
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
const ASKED = 100;
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
const asking = { seconds, asked: ASKED, k: K, concurrency: CONCURRENCY, inserts: Number(values.inserts) };

const MEASURES = {
  http: (rows) => measureServer(onespace(), rows, asking),
  // Rows that came after the last snapshot are searched exactly: here there are few.
  hnsw: (rows) => measureServer(onespace('hnsw'), rows, { ...asking, inserts: FEW_INSERTS }),
  bare: (rows) => inOwnProcess('sides/bare.mjs', rows, asking),
  chroma: (rows) => measureServer(chroma(Number(values['chroma-ef'])), rows, asking),
  limit: (rows) => inOwnProcess('sides/limit.mjs', rows, seconds),
};
const TITLES = {
  http: 'onespace, HTTP',
  hnsw: 'onespace, HTTP, hnsw',
  bare: 'bare faiss-node',
  chroma: 'Chroma, HTTP',
  limit: 'limit: memory',
};
/** A snapshot with fewer rows is searched exactly, whatever INDEX says. */
const GRAPH_MIN = 10_000;
const graphMax = Number(values['graph-max']);

const isLeftOut = (side, rows) =>
  (side === 'hnsw' && rows - FEW_INSERTS < GRAPH_MIN) || (['hnsw', 'chroma'].includes(side) && rows > graphMax);

async function measure(rows) {
  const measured = {};
  for (const side of sides) {
    if (isLeftOut(side, rows)) continue;
    console.error(`${rows} rows: ${side}`);
    measured[side] = await MEASURES[side](rows);
  }
  return measured;
}

/** The share of the exact neighbours that were found, by row. */
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
  const exact = measured.bare?.top;
  const heading = `${rows.toLocaleString('en')} rows x ${DIM}, the ${K} nearest`;
  printTable(
    heading,
    all.map(({ side, one, many, top }) => ({
      ...inQueries(side, one, many),
      [`recall@${K}`]: exact && top && recall(top, exact).toFixed(3),
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
if (unknown !== undefined) throw new Error(`--sides knows ${Object.keys(MEASURES)}; not ${unknown}`);
if (sides.includes('chroma') && chromaCommand() === undefined) {
  sides.splice(sides.indexOf('chroma'), 1);
  console.error('Chroma is not installed: its side is left out (npm ci --prefix test/store/chroma/server)');
}
console.log(`Node.js ${process.version}, ${availableParallelism()} cores, ${cpus()[0]?.model}`);
for (const rows of values.sizes.split(',').map(Number)) print(rows, await measure(rows));
