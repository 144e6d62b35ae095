/**
 * Does long work starve short work? Texts alone, then the same while clips stream in.
 *
 *   node bench/inference/fairness.mjs [--seconds 10]
 *
 * The sketch: one clip is 160 tokens, some 15 ms of inference on two cores; a text waits for at most one such
 * batch, so its p99 should grow by about that, were it not that ffmpeg takes cores from everything.
 */
import { parseArgs } from 'node:util';
import { load } from '../load.mjs';
import { startService } from '../service.mjs';
import { printTable } from '../table.mjs';
import { clips, texts } from './workloads.mjs';

const { values } = parseArgs({ options: { seconds: { type: 'string', default: '10' } } });
const seconds = Number(values.seconds);
const words = texts(8, 4096);
const videos = await clips();
let [t, v] = [0, 0];
const text = () => ({
  path: '/embed/text',
  type: 'application/json',
  body: JSON.stringify({ text: words[t++ % words.length] }),
});
const video = () => ({ path: '/embed/video', type: 'video/mp4', body: videos[v++ % videos.length] });

const service = await startService();
await load(service.url, { concurrency: 4, seconds: 1, next: text });
const row = (what, { perSecond, p50Ms, p99Ms }) => ({ what, 'texts /s': perSecond, 'p50 ms': p50Ms, 'p99 ms': p99Ms });
const alone = await load(service.url, { concurrency: 4, seconds, next: text });
const [beside, streamed] = await Promise.all([
  load(service.url, { concurrency: 4, seconds, next: text }),
  load(service.url, { concurrency: 4, seconds, next: video }),
]);
await service.stop();
printTable('Texts at concurrency 4, alone and beside clips at concurrency 4', [
  row('alone', alone),
  row('with clips', beside),
]);
console.log(
  `\nclips: ${streamed.perSecond.toFixed(2)}/s; p99 of texts grew ${(beside.p99Ms / alone.p99Ms).toFixed(1)} times`,
);
