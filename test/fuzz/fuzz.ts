/**
 * Gives damaged files to the media decoders. Each must get a client error (4xx) or valid frames, in time; afterwards no
 * process, temporary file, descriptor or memory may be left.
 */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Readable } from 'node:stream';
import { Problem } from '../../src/common/errors.js';
import { type DecodedMedia, decodeMedia } from '../../src/media/decode.js';
import type { FrameSampling } from '../../src/media/frame.js';
import { foreignDecoder } from '../../src/media/image/foreign/foreign-decoder.js';
import type { MediaLimits } from '../../src/media/limits.js';
import { receive } from '../../src/media/upload.js';
import { Ffmpeg } from '../../src/media/video/ffmpeg.js';
import { type CorpusFile, realFiles } from './corpus.js';
import { mutate, Random } from './mutate.js';

const SAMPLING = { side: 64, patch: 16, framesPerSecond: 1, minFrames: 2, maxFrames: 8 } satisfies FrameSampling;
const LIMITS: MediaLimits = { maxPixels: 4_000_000, maxVideoSeconds: 60, timeoutMs: 10_000 };
/** Both runs of ffmpeg share one deadline; starting and killing them takes a little longer. */
const HANG_MS = LIMITS.timeoutMs + 5_000;

export interface FuzzOptions {
  cases: number;
  /** Number of the first case; `first: N, cases: 1` repeats case N. */
  first: number;
  seed: number;
  /** Cases run at once. */
  concurrency: number;
  onProgress?: (report: FuzzReport) => void;
}

export interface FuzzReport {
  cases: number;
  /** Counts by problem code, and by modality for decoded files. */
  answers: Record<string, number>;
  /** Violated rules, each with the number of its case. */
  failures: string[];
  slowest: { caseNumber: number; name: string; ms: number };
  leftovers: { processes: number; files: number; descriptors: number; rssBytes: number };
  startRssBytes: number;
}

/** @returns a report; `failures` is empty and `leftovers` near zero when no rule was violated */
export async function fuzz(options: FuzzOptions): Promise<FuzzReport> {
  const folder = await mkdtemp(path.join(tmpdir(), 'onespace-fuzz-'));
  try {
    const ffmpeg = await Ffmpeg.locate();
    const corpus = await realFiles(ffmpeg.path, folder);
    const spool = path.join(folder, 'spool');
    const decode = (bytes: Buffer) => decodeBytes(bytes, spool, ffmpeg);
    // A warm-up loads every library and fills every pool, so that what grows afterwards is a leak.
    await runCases(corpus, decode, { ...options, cases: options.cases / 5, seed: options.seed + 1 }, newReport());
    await foreignDecoder.close();
    const before = await resources(spool);
    const report = { ...newReport(), startRssBytes: before.rssBytes };
    await runCases(corpus, decode, options, report);
    await foreignDecoder.close();
    const after = await resources(spool);
    report.leftovers = {
      processes: after.processes - before.processes,
      files: after.files - before.files,
      descriptors: after.descriptors - before.descriptors,
      rssBytes: after.rssBytes - before.rssBytes,
    };
    return report;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const newReport = (): FuzzReport => ({
  cases: 0,
  answers: {},
  failures: [],
  slowest: { caseNumber: -1, name: '', ms: 0 },
  leftovers: { processes: 0, files: 0, descriptors: 0, rssBytes: 0 },
  startRssBytes: 0,
});

type Decode = (bytes: Buffer) => Promise<DecodedMedia>;

async function runCases(corpus: CorpusFile[], decode: Decode, options: FuzzOptions, report: FuzzReport): Promise<void> {
  let next = options.first;
  const end = options.first + options.cases;
  const worker = async () => {
    while (next < end) {
      await runCase(corpus, decode, options.seed, next++, report);
      report.cases += 1;
      if (report.cases % 500 === 0) options.onProgress?.(report);
    }
  };
  await Promise.all(Array.from({ length: options.concurrency }, worker));
}

async function runCase(corpus: CorpusFile[], decode: Decode, seed: number, caseNumber: number, report: FuzzReport) {
  // Each case has a random sequence of its own, so that it can be repeated alone.
  const random = new Random(Math.imul(seed, 0x9e3779b1) ^ Math.imul(caseNumber + 1, 0x85ebca6b));
  const [file, other] = [corpus[random.below(corpus.length)], corpus[random.below(corpus.length)]];
  if (!file || !other) throw new Error('the corpus is empty');
  const bytes = mutate(file.bytes, other.bytes, random);
  const startMs = performance.now();
  const { answer, failure } = await verdict(decode(bytes));
  const ms = performance.now() - startMs;
  report.answers[answer] = (report.answers[answer] ?? 0) + 1;
  if (failure) report.failures.push(`case ${caseNumber} (${file.name}): ${failure}`);
  if (ms > HANG_MS) report.failures.push(`case ${caseNumber} (${file.name}): took ${Math.round(ms)} ms`);
  if (ms > report.slowest.ms) report.slowest = { caseNumber, name: file.name, ms: Math.round(ms) };
}

async function verdict(decoded: Promise<DecodedMedia>): Promise<{ answer: string; failure?: string | undefined }> {
  try {
    const media = await decoded;
    return { answer: media.modality, failure: faultOf(media) };
  } catch (error) {
    if (!(error instanceof Problem)) return { answer: 'crash', failure: String(error) };
    const isClients = error.status >= 400 && error.status < 500;
    return { answer: error.code, failure: isClients ? undefined : `answered ${error.status} ${error.code}` };
  }
}

/** What is malformed in a decoded result; its content is not checked. */
function faultOf({ modality, frames }: DecodedMedia): string | undefined {
  const most = modality === 'image' ? 1 : SAMPLING.maxFrames;
  if (frames.length < 1 || frames.length > most) return `${frames.length} frames`;
  const [first] = frames;
  let lastSeconds = -1;
  for (const { width, height, timeSeconds, rgb } of frames) {
    if (width !== first?.width || height !== first.height) return 'frames of different sizes';
    if (Math.max(width, height) !== SAMPLING.side) return `a frame of ${width} x ${height}`;
    if (rgb.length !== width * height * 3) return `${rgb.length} bytes for ${width} x ${height}`;
    if (!(timeSeconds > lastSeconds && timeSeconds <= LIMITS.maxVideoSeconds)) return `a frame at ${timeSeconds} s`;
    lastSeconds = timeSeconds;
  }
  return undefined;
}

async function decodeBytes(bytes: Buffer, folder: string, ffmpeg: Ffmpeg): Promise<DecodedMedia> {
  const upload = await receive(Readable.from([bytes]), { maxBytes: 50e6, folder });
  try {
    return await decodeMedia(upload, { image: SAMPLING, video: SAMPLING, limits: LIMITS, ffmpeg });
  } finally {
    await upload.dispose();
  }
}

/** The resources that this process holds, after a garbage collection where `--expose-gc` is set. */
async function resources(spool: string) {
  global.gc?.();
  const files = await readdir(spool).catch(() => []);
  const descriptors = await readdir('/proc/self/fd');
  const children = await readFile(`/proc/self/task/${process.pid}/children`, 'utf8');
  return {
    files: files.length,
    descriptors: descriptors.length,
    processes: children.split(' ').filter(Boolean).length,
    rssBytes: process.memoryUsage.rss(),
  };
}
