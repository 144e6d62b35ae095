/**
 * The same requests to this service and to peers, in one run.
 *
 *   node bench/encoder/peers.mjs [--seconds 5]
 *
 * article: FastAPI and PyTorch, one request = one forward pass (bench/peers/article.py; needs Debian's
 * python3-torch, python3-fastapi, python3-uvicorn and python3-pil). The sketch: both do the same
 * arithmetic, so what differs is batching, what blocks what, and the runtime.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { load } from '../load.mjs';
import { startService } from '../service.mjs';
import { printTable } from '../table.mjs';
import { jpegs, texts } from './workloads.mjs';

const { values } = parseArgs({ options: { seconds: { type: 'string', default: '5' } } });
const seconds = Number(values.seconds);
const PORT = 18123;

async function startArticle() {
  const child = spawn('/usr/bin/python3', ['bench/peers/article.py', String(PORT)], { stdio: 'inherit' });
  const url = `http://127.0.0.1:${PORT}`;
  for (let attempt = 0; attempt < 100; attempt++) {
    await sleep(200);
    if (await fetch(url).catch(() => undefined)) return { url, stop: () => stopped(child) };
  }
  throw new Error('the peer does not start');
}

async function stopped(child) {
  const exit = once(child, 'exit');
  child.kill();
  await exit;
}

const cycle = (requests) => {
  let next = 0;
  return () => requests[next++ % requests.length];
};
const text = (words) => ({ path: '/embed/text', type: 'application/json', body: JSON.stringify({ text: words }) });
const image = (body) => ({ path: '/embed/image', type: 'image/jpeg', body });
const workloads = [
  { name: 'text, 8 tokens', requests: texts(8, 4096).map(text) },
  { name: 'text, 64 tokens', requests: texts(64, 4096).map(text) },
  { name: 'JPEG, 512x512', requests: (await jpegs(512, 512)).map(image) },
];

const rows = [];
for (const [server, start] of Object.entries({ onespace: startService, article: startArticle })) {
  const { url, stop } = await start();
  for (const { name, requests } of workloads) {
    const next = cycle(requests);
    await load(url, { concurrency: 2, seconds: 1, next });
    for (const concurrency of [1, 64]) {
      const { perSecond, p50Ms, p99Ms } = await load(url, { concurrency, seconds, next });
      rows.push({ input: name, concurrency, server, '/s': perSecond, 'p50 ms': p50Ms, 'p99 ms': p99Ms });
    }
  }
  await stop();
}
const rate = (server, { input, concurrency }) =>
  rows.find((row) => row.server === server && row.input === input && row.concurrency === concurrency)['/s'];
const ours = rows.filter(({ server }) => server === 'onespace');
printTable('Every server', rows);
printTable(
  'Ratio of throughput',
  ours.map((row) => ({
    input: row.input,
    concurrency: row.concurrency,
    'onespace / article': row['/s'] / rate('article', row),
  })),
);
