import { mkdtemp, rm } from 'node:fs/promises';
import http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { load, post } from '../../load.mjs';
import { residentMB } from '../../resident-memory.mjs';
import { batches, FILTER, rowOf, toJson } from '../rows.mjs';
import { queries } from '../vectors.mjs';

const INSERT_ROWS = 100;

/**
 * Measures a server over HTTP: fills it, inserts rows, ends it by SIGKILL, starts it again, and searches.
 * @param server functions that start and fill this server and make its requests
 */
export async function measureServer(server, rows, { seconds, queryCount, k, concurrency, inserts }) {
  const dir = await mkdtemp(path.join(tmpdir(), 'onespace-bench-'));
  let running;
  const stop = async (signal) => {
    const stopping = running;
    running = undefined;
    await stopping?.stop(signal);
  };
  try {
    const bulkRows = rows - Math.min(inserts, Math.floor(rows / 2));
    running = await server.startFilled(dir, bulkRows);
    const insertsPerSecond = await insertRate(running.url, server, bulkRows, rows);
    await stop('SIGKILL');

    const vectors = queries(queryCount).map(toJson);
    const [plain, filtered] = [undefined, FILTER].map((filter) => vectors.map((one) => server.query(one, k, filter)));
    const startedMs = performance.now();
    running = await server.start(dir);
    const { url, pid } = running;
    await sendAll(url, plain.slice(0, 1), 1);
    const startSeconds = (performance.now() - startedMs) / 1000;

    await server.indexReady?.(url);

    const topK = (await sendAll(url, plain, concurrency)).map((reply) => server.ids(reply).map(rowOf));
    const filteredMs = performance.now();
    await sendAll(url, filtered.slice(0, 1), 1);
    const firstFilteredMs = performance.now() - filteredMs;
    const loopDelay = await server.watchLoop?.(url);
    const searched = {
      one: await search(url, plain, 1, seconds),
      many: await search(url, plain, concurrency, seconds),
      filteredOne: await search(url, filtered, 1, seconds),
      filteredMany: await search(url, filtered, concurrency, seconds),
    };
    const loopDelayP99Ms = await loopDelay?.();
    return {
      ...searched,
      ...{ topK, insertsPerSecond, startSeconds, firstFilteredMs, loopDelayP99Ms },
      residentMB: await residentMB(pid),
    };
  } finally {
    await stop('SIGKILL');
    await rm(dir, { recursive: true, force: true });
  }
}

function search(url, requests, concurrency, seconds) {
  let sent = 0;
  return load(url, { concurrency, seconds, next: () => requests[sent++ % requests.length] });
}

/** Sends each request once, `concurrency` at a time. @returns the JSON of the replies, in order */
async function sendAll(url, requests, concurrency) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: concurrency });
  const replies = await Promise.all(requests.map((request) => post(url, agent, request)));
  agent.destroy();
  return replies.map(({ status, body }, i) => {
    if (status >= 300) throw new Error(`${requests[i].path} answered ${status}: ${body.toString().slice(0, 300)}`);
    return JSON.parse(body);
  });
}

/** Rows per second, one acknowledged batch after another; the requests are made beforehand. */
async function insertRate(url, server, from, until) {
  const requests = [...batches(from, until, INSERT_ROWS)].map(server.insert);
  const startedMs = performance.now();
  await sendAll(url, requests, 1);
  return (1000 * (until - from)) / (performance.now() - startedMs);
}
