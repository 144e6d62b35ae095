/**
 * Many mixed requests, some of which their clients abort: is every reply that of its own input, and is memory stable?
 *
 *   node bench/inference/soak.mjs --requests 20000               memory
 *   node bench/inference/soak.mjs --requests 50000 --hang-ups    replies, while one client in twenty aborts
 *
 * The reference vector of each input is embedded first, alone. Then the inputs are sent in random order and
 * concurrently; every reply must equal its reference (padding and batching may change the last bits, hence 1e-4).
 * Memory is measured after a warm-up. Estimate: a reply is 3 kB and a queued image 50 kB, so 64 requests in flight are a
 * few MB: growth beyond the buffers and compiled code of the warm-up is a leak.
 */
import http from 'node:http';
import { parseArgs } from 'node:util';
import { post } from '../load.mjs';
import { random } from '../random.mjs';
import { residentMB } from '../resident-memory.mjs';
import { startService } from '../service.mjs';
import { printTable } from '../table.mjs';
import { jpegs, texts, videos } from './workloads.mjs';

const { values } = parseArgs({
  options: {
    requests: { type: 'string', default: '20000' },
    'warm-up': { type: 'string', default: '4000' },
    'hang-ups': { type: 'boolean', default: false },
    concurrency: { type: 'string', default: '64' },
  },
});
const [REQUESTS, WARM_UP, CONCURRENCY] = [values.requests, values['warm-up'], values.concurrency].map(Number);
const HANG_UPS = values['hang-ups'] ? 0.05 : 0;
const TOLERANCE = 1e-4;
const MAX_HANG_UP_MS = 30;
const MAX_GROWTH = 0.05;

const text = (words) => ({ path: '/embed/text', type: 'application/json', body: JSON.stringify({ text: words }) });
const image = (body) => ({ path: '/embed/image', type: 'image/jpeg', body });
const video = (body) => ({ path: '/embed/video', type: 'video/mp4', body });
const inputs = [
  ...texts(6, 150).map(text),
  ...texts(20, 50).map(text),
  ...texts(60, 20).map(text),
  ...(await jpegs(256, 192)).map(image),
  ...(await jpegs(300, 300)).map(image),
  ...(await videos({ seconds: 2, size: '320x240' })).map(video),
];

const service = await startService();
const agent = new http.Agent({ keepAlive: true, maxSockets: CONCURRENCY });
const embed = async (input) => {
  const { status, body } = await post(service.url, agent, input);
  if (status !== 200) throw new Error(`${status}: ${body}`);
  return JSON.parse(body).embedding;
};
const references = [];
for (const input of inputs) references.push(await embed(input));

/** Sends a request and destroys its connection before, or during, the reply. */
function hangUp(input, afterMs) {
  return new Promise((resolve) => {
    const request = http.request(new URL(input.path, service.url), {
      method: 'POST',
      headers: { 'content-type': input.type, 'content-length': Buffer.byteLength(input.body) },
    });
    request.on('error', () => {});
    request.on('close', resolve);
    request.on('response', (response) => response.resume());
    request.end(input.body);
    setTimeout(() => request.destroy(), afterMs);
  });
}

const next = random(7);
const counts = { answered: 0, 'hung up': 0, wrong: 0 };
let worst = 0;

/** Sends a random input; compares its reply with the reference, or aborts it. */
async function sendOne() {
  const i = Math.floor(next() * inputs.length);
  if (next() < HANG_UPS) {
    await hangUp(inputs[i], next() * MAX_HANG_UP_MS);
    counts['hung up']++;
    return;
  }
  const embedding = await embed(inputs[i]);
  const off = Math.max(...embedding.map((x, k) => Math.abs(x - references[i][k])));
  worst = Math.max(worst, off);
  counts.answered++;
  if (!(off <= TOLERANCE)) counts.wrong++;
}

/** Sends `count` requests, `CONCURRENCY` at a time. */
async function send(count) {
  let sent = 0;
  const worker = async () => {
    while (sent < count) {
      sent++;
      await sendOne();
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, worker));
}

await send(WARM_UP);
const memory = [{ requests: 0, 'resident MB': await residentMB(service.pid) }];
const start = performance.now();
for (let tenth = 1; tenth <= 10; tenth++) {
  await send(REQUESTS / 10);
  memory.push({ requests: (tenth * REQUESTS) / 10, 'resident MB': await residentMB(service.pid) });
}
const perSecond = REQUESTS / ((performance.now() - start) / 1000);
printTable("Replies checked against their references, the warm-up's too", [
  { ...counts, 'largest deviation': worst.toExponential(1), 'requests/s': perSecond },
]);
printTable('Memory after the warm-up', memory);
const metrics = await (await fetch(`${service.url}/metrics`)).text();
const queued = Number(/^onespace_queue_length\{[^}]*} (\d+)/m.exec(metrics)[1]);
const growth = memory.at(-1)['resident MB'] / memory[0]['resident MB'] - 1;
printTable('Targets', [
  { target: 'wrong replies', required: '0', measured: counts.wrong },
  { target: 'inputs still queued at the end', required: '0', measured: queued },
  { target: 'growth of memory', required: `< ${100 * MAX_GROWTH} %`, measured: `${(100 * growth).toFixed(1)} %` },
]);
agent.destroy();
await service.stop();
process.exit(counts.wrong === 0 && queued === 0 && growth < MAX_GROWTH ? 0 : 1);
