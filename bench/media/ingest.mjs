/**
 * Indexing a folder by a job, against the bare loop of reading, decoding and encoding the same files.
 *
 *   npm run build && node bench/media/ingest.mjs [--files 2000] [--large 400] [--clips 40] [--unchanged 50000]
 *
 * The photographs differ in their last bytes alone: they cost the same to decode, and no cache knows them. The limit is
 * the bare loop, which has the same decoder and the same graph; a job adds metadata, the metadata's thread, durable
 * writes, and the pauses in which it lets requests go first.
 */

import { execFile } from 'node:child_process';
import { link, mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs, promisify } from 'node:util';
import sharp from 'sharp';
import { takeInPlace } from '../../dist/src/media/upload.js';
import { Ffmpeg } from '../../dist/src/media/video/ffmpeg.js';
import { openBare, pipeline } from '../inference/bare.mjs';
import { post, summarise } from '../load.mjs';
import { residentMB } from '../resident-memory.mjs';
import { startService } from '../service.mjs';
import { printTable } from '../table.mjs';
import { runJob } from './job.mjs';

const { values } = parseArgs({
  options: {
    files: { type: 'string', default: '2000' },
    large: { type: 'string', default: '400' },
    clips: { type: 'string', default: '40' },
    unchanged: { type: 'string', default: '50000' },
  },
});
const [FILES, LARGE, CLIPS, UNCHANGED] = [values.files, values.large, values.clips, values.unchanged].map(Number);
const SEARCHES_PER_SECOND = 8;
const ALONE_SECONDS = 60;
const BARE_SECONDS = 20;
const BATCH = 8;
const WARM_UP_FILES = 500;

const folder = await mkdtemp(path.join(tmpdir(), 'onespace-ingest-'));
const ffmpeg = await Ffmpeg.locate();

/** What a telephone says of its photos. */
const EXIF = {
  IFD0: { Make: 'Apple', Model: 'iPhone 12' },
  IFD2: { DateTimeOriginal: '2019:06:01 12:34:56', OffsetTimeOriginal: '+02:00', LensModel: 'back camera 4.2mm f/1.6' },
  IFD3: { GPSLatitudeRef: 'N', GPSLatitude: '38/1 42/1 0/1', GPSLongitudeRef: 'W', GPSLongitude: '9/1 6/1 0/1' },
};

/** As much detail as a photograph: smooth shapes under fine noise. */
async function makePhotos(name, width, height, count) {
  await mkdir(path.join(folder, name));
  const noise = { type: 'gaussian', mean: 128, sigma: 12 };
  const picture = sharp({ create: { width, height, channels: 3, background: 'grey', noise } }).blur(1.2);
  const jpeg = await picture.withExif(EXIF).jpeg({ quality: 85 }).toBuffer();
  for (let i = 0; i < count; i++)
    await writeFile(path.join(folder, name, `${i}.jpg`), Buffer.concat([jpeg, Buffer.from(` ${i}`)]));
}

async function makeClips(count) {
  await mkdir(path.join(folder, 'clips'));
  const once = path.join(folder, 'once.mp4');
  const input = ['-f', 'lavfi', '-i', 'testsrc2=s=1280x720:r=30:d=10', '-pix_fmt', 'yuv420p', '-preset', 'veryfast'];
  await promisify(execFile)(ffmpeg.path, ['-nostdin', '-loglevel', 'error', ...input, '-g', '60', once]);
  for (let i = 0; i < count; i++) {
    const to = path.join(folder, 'clips', `${i}.mp4`);
    // A comment makes each another file.
    await promisify(execFile)(ffmpeg.path, [
      '-loglevel',
      'error',
      '-i',
      once,
      '-c',
      'copy',
      '-metadata',
      `comment=${i}`,
      to,
    ]);
  }
}

async function makeUnchanged(count) {
  const source = path.join(folder, 'photos', '0.jpg');
  for (let i = 0; i < count; i++) {
    const place = path.join(folder, 'unchanged', String(Math.floor(i / 1000)));
    if (i % 1000 === 0) await mkdir(place, { recursive: true });
    await link(source, path.join(place, `${i}.jpg`));
  }
}

/** Files a second of the bare loop. */
async function bareRate(kind, extension, count) {
  const bare = await openBare();
  let next = 0;
  const prepare = async () => {
    const file = path.join(folder, kind, `${next++ % count}.${extension}`);
    const { size: bytes } = await stat(file);
    const upload = await takeInPlace({ path: file, bytes }, { maxImageBytes: 1e9, maxVideoBytes: 1e9 });
    const decoded = await bare.decode(upload);
    await upload.dispose();
    return decoded;
  };
  const rate = await pipeline(prepare, bare.infer, BATCH, BARE_SECONDS);
  await bare.close();
  return rate;
}

const agent = new http.Agent({ keepAlive: true });

/** Latencies of searches at a steady rate until `isOver`. */
async function searchUntil(service, isOver) {
  const latencies = [];
  const pending = new Set();
  const start = performance.now();
  for (let sent = 0; !isOver(); sent++) {
    const began = performance.now();
    const request = {
      path: '/retrieve',
      type: 'application/json',
      body: JSON.stringify({ text: `a red car ${sent}` }),
    };
    const one = post(service.url, agent, request).then(({ status }) => {
      if (status !== 200) throw new Error(`a search answered ${status}`);
      latencies.push(performance.now() - began);
      pending.delete(one);
    });
    pending.add(one);
    await sleep(Math.max(0, start + ((sent + 1) * 1000) / SEARCHES_PER_SECOND - performance.now()));
  }
  await Promise.all(pending);
  return summarise(latencies, (performance.now() - start) / 1000);
}

try {
  await makePhotos('photos', 1600, 1200, FILES);
  await makePhotos('large', 4000, 3000, LARGE);
  await makeClips(CLIPS);
  await makePhotos('warm', 640, 480, WARM_UP_FILES);
  const roots = ['warm', 'photos', 'large', 'clips', 'unchanged']
    .map((name) => `${name}=${path.join(folder, name)}`)
    .join(',');
  await mkdir(path.join(folder, 'unchanged'));

  const rates = [];
  const service = await startService({ MEDIA_ROOTS: roots });
  // The first photo with a position costs a table of places; what V8 compiles, the first hundreds.
  await runJob(service, 'warm');
  for (const [kind, extension, count] of [
    ['photos', 'jpg', FILES],
    ['large', 'jpg', LARGE],
    ['clips', 'mp4', CLIPS],
  ]) {
    if (count === 0) continue;
    const bare = await bareRate(kind, extension, count);
    const resident = [];
    const { seconds } = await runJob(service, kind, async () => resident.push(await residentMB(service.pid)));
    const at = (share) => Math.round(resident[Math.floor(share * (resident.length - 1))]);
    rates.push({
      files: `${count} ${kind === 'large' ? 'photos of 12 MP' : kind === 'photos' ? 'photos of 2 MP' : kind}`,
      'bare loop, 1/s': bare,
      'job, 1/s': count / seconds,
      ratio: count / seconds / bare,
      'resident MB at 25, 50, 100 %': [0.25, 0.5, 1].map(at).join(', '),
    });
  }
  await service.stop();
  printTable('Indexing a folder', rates);

  const second = await startService({ MEDIA_ROOTS: roots });
  const aloneUntil = performance.now() + ALONE_SECONDS * 1000;
  const alone = await searchUntil(second, () => performance.now() > aloneUntil);
  let isDone = false;
  const job = runJob(second, 'photos').finally(() => {
    isDone = true;
  });
  const beside = await searchUntil(second, () => isDone);
  const { seconds } = await job;
  await second.stop();
  printTable('Searches, alone and beside a job', [
    { searches: 'alone', count: alone.count, 'p50 ms': alone.p50Ms, 'p99 ms': alone.p99Ms },
    {
      searches: `beside a job of ${(FILES / seconds).toFixed(1)} photos/s`,
      count: beside.count,
      'p50 ms': beside.p50Ms,
      'p99 ms': beside.p99Ms,
    },
    { searches: 'ratio', count: '', 'p50 ms': beside.p50Ms / alone.p50Ms, 'p99 ms': beside.p99Ms / alone.p99Ms },
  ]);

  if (UNCHANGED > 0) {
    await makeUnchanged(UNCHANGED);
    const third = await startService({ MEDIA_ROOTS: roots, CACHE_MB: '256' });
    await runJob(third, 'unchanged');
    const again = await runJob(third, 'unchanged');
    await third.stop();
    const { unchanged } = again.job.counts;
    printTable('Indexing again', [{ files: UNCHANGED, unchanged, seconds: again.seconds }]);
  }
} finally {
  agent.destroy();
  await rm(folder, { recursive: true });
}
