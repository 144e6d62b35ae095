/**
 * Do videos starve texts? The latency of texts alone, then the same while videos are embedded.
 *
 *   node bench/inference/fairness.mjs [--seconds 10]
 *
 * Estimate: one video is 160 tokens, about 15 ms of inference on two cores. A text waits for at most one such batch, so
 * its p99 should grow by about that, and by what ffmpeg takes of the cores.
 */
import { parseArgs } from 'node:util';
import { load } from '../load.mjs';
import { startService } from '../service.mjs';
import { printTable } from '../table.mjs';
import { texts, videos } from './workloads.mjs';

const { values } = parseArgs({ options: { seconds: { type: 'string', default: '10' } } });
const seconds = Number(values.seconds);
const words = texts(8, 4096);
const files = await videos();
let [t, v] = [0, 0];
const text = () => ({
  path: '/embed/text',
  type: 'application/json',
  body: JSON.stringify({ text: words[t++ % words.length] }),
});
const video = () => ({ path: '/embed/video', type: 'video/mp4', body: files[v++ % files.length] });

const service = await startService();
await load(service.url, { concurrency: 4, seconds: 1, next: text });
const row = (what, { perSecond, p50Ms, p99Ms }) => ({ what, 'texts /s': perSecond, 'p50 ms': p50Ms, 'p99 ms': p99Ms });
const alone = await load(service.url, { concurrency: 4, seconds, next: text });
const [beside, streamed] = await Promise.all([
  load(service.url, { concurrency: 4, seconds, next: text }),
  load(service.url, { concurrency: 4, seconds, next: video }),
]);
await service.stop();
printTable('Texts at concurrency 4, alone and beside videos at concurrency 4', [
  row('alone', alone),
  row('with videos', beside),
]);
console.log(
  `\nvideos: ${streamed.perSecond.toFixed(2)}/s; p99 of texts grew ${(beside.p99Ms / alone.p99Ms).toFixed(1)} times`,
);
