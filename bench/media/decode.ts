/**
 * How fast files are decoded to frames, compared with the bare decoders.
 *
 *   npx tsc -p bench/media && node dist/bench/media/decode.js
 *
 * Expected on one core of about 3 GHz:
 *
 *   12-megapixel JPEG   entropy decoding must read every coefficient whatever the output size
 *                       (shrink-on-load saves the transform only): 200-400 MP/s, so 30-60 ms.
 *   512 x 512 JPEG      0.26 MP at 1/2 scale, then 0.07 MP to resample: about 2 ms.
 *   10 s of 720p        300 frames x 0.92 MP = 276 MP; H.264 decodes at about 400 MP/s a core: 0.7 s,
 *                       plus two starts of ffmpeg (Debian's loads 200 libraries: 0.1 s each).
 *   10 min of 720p      60 times that is 41 s; a dozen samples need only keyframes, 1 frame in 250: 72
 *                       frames, 0.2 s. Reading the file (a few hundred MB/s) and two starts dominate.
 *
 *   HEIC                HEVC in WebAssembly, one thread, no shrinking while it loads: 12 MP take one to two seconds.
 *
 * Images are bound by the JPEG decoder; what the service adds (a second read of the header, a few checks) should stay
 * within 10%. Videos are bound by the video decoder and by starting it.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import path from 'node:path';
import { Readable } from 'node:stream';
import { promisify } from 'node:util';
import sharp from 'sharp';
import { decodeMedia } from '../../src/media/decode.js';
import type { FrameSampling } from '../../src/media/frame.js';
import { fitToShape } from '../../src/media/image/fit.js';
import { receive } from '../../src/media/upload.js';
import { Ffmpeg } from '../../src/media/video/ffmpeg.js';
import { heicFrom } from '../../test/media/image/heic.js';

const SAMPLING: FrameSampling = { side: 224, patch: 16, framesPerSecond: 1, minFrames: 4, maxFrames: 12 };
const LIMITS = { maxPixels: 100_000_000, maxVideoSeconds: 600, timeoutMs: 120_000 };
/** Time for each measurement; work that takes longer is run once. */
const MEASURE_MS = 3_000;

const ffmpeg = await Ffmpeg.locate();
const folder = await mkdtemp(path.join(tmpdir(), 'onespace-bench-'));
const runFfmpeg = (...args: string[]) =>
  promisify(execFile)(ffmpeg.path, ['-nostdin', '-loglevel', 'error', '-y', ...args]);

/** As much detail as a photograph: smooth shapes under fine noise. */
const photo = (width: number, height: number) =>
  sharp({
    create: { width, height, channels: 3, background: 'grey', noise: { type: 'gaussian', mean: 128, sigma: 12 } },
  })
    .blur(1.2)
    .jpeg({ quality: 85 })
    .toBuffer();

/** The same picture as telephones keep it. */
async function heicOf(jpeg: Buffer): Promise<Buffer> {
  const [from, to] = [path.join(folder, 'photo.jpg'), path.join(folder, 'photo.mp4')];
  await writeFile(from, jpeg);
  const hevc = ['-pix_fmt', 'yuv420p', '-c:v', 'libx265', '-x265-params', 'log-level=0', '-tag:v', 'hvc1'];
  await runFfmpeg('-i', from, ...hevc, to);
  return heicFrom(await readFile(to), 4000, 3000);
}

async function video(name: string, seconds: number): Promise<string> {
  const file = path.join(folder, name);
  const source = ['-f', 'lavfi', '-i', `testsrc2=s=1280x720:r=30:d=${Math.min(seconds, 10)}`];
  const once = path.join(folder, 'once.mp4');
  await runFfmpeg(...source, '-c:v', 'libx264', '-preset', 'veryfast', '-g', '250', '-pix_fmt', 'yuv420p', once);
  await runFfmpeg('-stream_loop', `${Math.ceil(seconds / 10) - 1}`, '-i', once, '-c', 'copy', file);
  return file;
}

/** Receives and decodes bytes, as a request does. */
async function ours(bytes: Buffer): Promise<void> {
  const upload = await receive(Readable.from([bytes]), { maxBytes: 1e9, folder });
  try {
    await decodeMedia(upload, { image: SAMPLING, video: SAMPLING, limits: LIMITS, ffmpeg });
  } finally {
    await upload.dispose();
  }
}

async function bareSharp(bytes: Buffer, width: number, height: number): Promise<void> {
  const size = fitToShape(width, height, SAMPLING);
  await sharp(bytes).resize(size.width, size.height, { fit: 'fill' }).raw().toBuffer();
}

const bareFfmpeg = (file: string) => runFfmpeg('-threads', '2', '-i', file, '-an', '-f', 'null', '-').then(() => {});

const now = () => performance.now();

async function timedMs(work: () => Promise<void>): Promise<number> {
  const startMs = now();
  await work();
  return now() - startMs;
}

/** Medians of both, measured alternately so that other load on the machine affects both. */
async function alone(work: () => Promise<void>, bare: () => Promise<void>): Promise<[oursMs: number, bareMs: number]> {
  const durationsMs: [number[], number[]] = [[], []];
  const startMs = now();
  do {
    durationsMs[0].push(await timedMs(work));
    durationsMs[1].push(await timedMs(bare));
  } while (now() - startMs < 2 * MEASURE_MS);
  const median = (values: number[]) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
  return [median(durationsMs[0]), median(durationsMs[1])];
}

/** Items a second, with one running per core. */
async function together(work: () => Promise<void>): Promise<number> {
  const startMs = now();
  let count = 0;
  const worker = async () => {
    do {
      await work();
      count += 1;
    } while (now() - startMs < MEASURE_MS);
  };
  await Promise.all(Array.from({ length: CORES }, worker));
  return (count * 1000) / (now() - startMs);
}

const CORES = availableParallelism();
const round = (value: number) => Number(value.toPrecision(3));

async function row(work: () => Promise<void>, bare: () => Promise<void>) {
  const [oursMs, bareMs] = await alone(work, bare);
  // Minutes of decoding show nothing new when run concurrently.
  const isLong = bareMs > MEASURE_MS;
  return {
    'ours, ms': round(oursMs),
    'bare, ms': round(bareMs),
    'ours / bare': round(oursMs / bareMs),
    [`ours, 1/s (${CORES} at a time)`]: round(await together(work)),
    [`bare, 1/s (${CORES} at a time)`]: isLong ? '-' : round(await together(bare)),
  };
}

try {
  const [large, small] = [await photo(4000, 3000), await photo(512, 512)];
  const heic = await heicOf(large);
  const [short, long] = [await video('short.mp4', 10), await video('long.mp4', 600)];
  const [shortBytes, longBytes] = [await readFile(short), await readFile(long)];
  console.log(`${cpus()[0]?.model}, ${CORES} cores, node ${process.version}, ${ffmpeg.version}`);
  console.table({
    [`JPEG 4000 x 3000 (${round(large.length / 1e6)} MB)`]: await row(
      () => ours(large),
      () => bareSharp(large, 4000, 3000),
    ),
    'JPEG 512 x 512': await row(
      () => ours(small),
      () => bareSharp(small, 512, 512),
    ),
    [`HEIC 4000 x 3000 (${round(heic.length / 1e6)} MB), against its JPEG`]: await row(
      () => ours(heic),
      () => ours(large),
    ),
    'MP4 10 s, 720p, against a bare decode': await row(
      () => ours(shortBytes),
      () => bareFfmpeg(short),
    ),
    'MP4 10 min, 720p, against a bare decode': await row(
      () => ours(longBytes),
      () => bareFfmpeg(long),
    ),
  });
} finally {
  await rm(folder, { recursive: true, force: true });
}
