import { type ChildProcessByStdio, execFile, spawn } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism, setPriority } from 'node:os';
import type { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { clientClosed } from '../../common/errors.js';
import { SLOW_WORK_NICENESS } from '../../lib/async/niceness.js';
import { Semaphore } from '../../lib/async/semaphore.js';
import { decodeTimeout } from '../errors.js';
import { VIDEO_FORMATS, type VideoFormat } from '../formats.js';

/** Threads of one decode. Decoding several videos at once uses the other cores better than splitting one. */
const DECODER_THREADS = Math.min(2, availableParallelism());
/** Address space of one ffmpeg: an 8K video takes about 2 GB with its decoder's reference frames. */
const MEMORY_LIMIT_BYTES = 4 * 2 ** 30;
/** Largest single allocation: more than any frame within the pixel limit needs. */
const ALLOCATION_LIMIT_BYTES = 2 ** 30;
/** ffmpeg writes a few lines for a valid file, and up to one per packet for a broken one. */
const STDERR_LIMIT_CHARS = 64 * 1024;
/** A file with more streams than this is an attack on the demuxer, not a recording. */
const MAX_STREAMS = 64;

const VERSION_TIMEOUT_MS = 20_000;
/** Exit codes of programs that do not start because a library or the file itself is missing. */
const NOT_STARTED = [126, 127];

/** The decoders that a file may use: those for cameras, phones, browsers and editors, not the 200 others. */
const DECODERS = [
  ...['h264', 'hevc', 'vp8', 'libvpx', 'vp9', 'libvpx-vp9', 'av1', 'libdav1d', 'libaom-av1'],
  ...['mpeg1video', 'mpeg2video', 'mpeg4', 'msmpeg4v2', 'msmpeg4', 'h263', 'mjpeg', 'theora', 'wmv2', 'vc1'],
  ...['prores', 'dnxhd', 'dvvideo', 'ffv1', 'huffyuv', 'ffvhuff', 'utvideo', 'qtrle', 'png', 'rawvideo', 'cinepak'],
  ...['wmv1', 'wmv3', 'msmpeg4v1', 'msvideo1', 'flv', 'vp6', 'vp6a', 'vp6f', 'svq1', 'svq3', 'h263i', 'cfhd', 'rpza'],
  ...['indeo2', 'indeo3', 'indeo4', 'indeo5', 'smc', 'dirac', 'mpegvideo'],
];

/** A file for ffmpeg to read. */
export interface FfmpegInput {
  /** Absolute path. */
  path: string;
  format: VideoFormat;
  /** Most pixels of a frame; holds for every frame, also where the header announces fewer. */
  maxPixels: number;
  /** Reading stops after this many seconds of the video. */
  maxSeconds: number;
  /** Where reading begins, in seconds from the start of the video; default: there. */
  fromSeconds?: number;
  /** A decoder to use instead of ffmpeg's own choice. */
  decoder?: string | undefined;
  /** Whether only keyframes are decoded: many times faster where they are dense enough. */
  keyframesOnly?: boolean;
}

export interface FfmpegRun<T> {
  input: FfmpegInput;
  /** Options of the output: filters, codec, format. The output is always standard output. */
  outputArgs: readonly string[];
  /** `info` logs the properties of the streams; `error` only errors. */
  logLevel: 'info' | 'error';
  /** When ffmpeg is killed, in milliseconds of `performance.now()`. */
  deadlineMs: number;
  signal?: AbortSignal | undefined;
  /** Reads standard output, with backpressure; ffmpeg is killed when it returns or throws before the end. */
  consume: (stdout: Readable) => Promise<T>;
}

export interface FfmpegResult<T> {
  output: T;
  /** The start of standard error. Not for clients: it names paths. */
  log: string;
}

/** The ffmpeg program, with a bound on concurrent decodes. */
export class Ffmpeg {
  /** Held for all of one video's work: bounds the processes and the memory of all of them together. */
  readonly semaphore: Semaphore;

  private constructor(
    readonly path: string,
    readonly version: string,
    private readonly hasPrlimit: boolean,
    maxProcesses: number,
  ) {
    this.semaphore = new Semaphore(maxProcesses);
  }

  /**
   * Finds ffmpeg: FFMPEG_PATH or, without it, the ffmpeg-static package, then the system's.
   *
   * @param maxProcesses how many videos are decoded at once; the others wait
   * @throws Error that names the remedy, when none runs
   */
  static async locate(env: NodeJS.ProcessEnv = process.env, maxProcesses = availableParallelism()): Promise<Ffmpeg> {
    const candidates = env.FFMPEG_PATH ? [env.FFMPEG_PATH] : [...staticBinary(), 'ffmpeg'];
    for (const candidate of candidates) {
      const version = await versionOf(candidate, '-version');
      if (version === undefined) continue;
      // A container may forbid these limits, or ffmpeg may need more than they leave, so they are tried first.
      const limited = [...resourceLimits(VERSION_TIMEOUT_MS), '--', candidate, '-version'];
      const hasPrlimit = (await versionOf('prlimit', ...limited)) !== undefined;
      return new Ffmpeg(candidate, version, hasPrlimit, maxProcesses);
    }
    throw new Error(
      env.FFMPEG_PATH
        ? `FFMPEG_PATH=${env.FFMPEG_PATH} does not run; correct it or unset it.`
        : 'ffmpeg does not run; install it (apt-get install ffmpeg) or set FFMPEG_PATH to its path.',
    );
  }

  /** Whether it has the filters that show a high dynamic range as usual screens do; few files ask for them. */
  canMapTones(): Promise<boolean> {
    this.mapsTones ??= hasFilters(this.path);
    return this.mapsTones;
  }
  private mapsTones: Promise<boolean> | undefined;

  /**
   * Runs ffmpeg on one file. The process can open no other file, protocol, container or codec than those allowed, and
   * is limited in memory, CPU time and wall time.
   *
   * @throws Problem `decode_timeout`, `client_closed`; Error when ffmpeg does not start; any error of `consume`
   */
  async run<T>(run: FfmpegRun<T>): Promise<FfmpegResult<T>> {
    const { signal, consume } = run;
    if (signal?.aborted) throw clientClosed();
    const timeoutMs = Math.max(0, run.deadlineMs - performance.now());
    const child = this.spawn(argumentsOf(run), timeoutMs);
    const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
    let stopped: Error | undefined;
    const stop = (reason: Error) => {
      stopped ??= reason;
      killGroup(child);
    };
    child.once('error', stop);
    const onAbort = () => stop(clientClosed());
    const timer = setTimeout(() => stop(decodeTimeout()), timeoutMs);
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      const [output, log] = await Promise.all([consume(child.stdout), readStart(child.stderr)]);
      // The output of a killed process ends like that of a process that finished.
      if (stopped) throw stopped;
      await closed;
      if (NOT_STARTED.includes(child.exitCode ?? 0)) throw new Error(`ffmpeg does not start: ${log}`);
      return { output, log };
    } catch (error) {
      throw stopped ?? error;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      killGroup(child);
      await closed;
    }
  }

  /**
   * What ffmpeg says of a file: its tags and streams, from its headers alone.
   * @throws Problem `decode_timeout`, `client_closed`
   */
  async describe(file: Pick<FfmpegInput, 'path' | 'format'>, timeoutMs: number, signal?: AbortSignal): Promise<string> {
    const { log } = await this.run({
      // Nothing is decoded: without a frame there is no output.
      input: { ...file, maxPixels: 2 ** 31 - 1, maxSeconds: 0 },
      outputArgs: ['-c', 'copy', '-frames:v', '0', '-f', 'null'],
      logLevel: 'info',
      deadlineMs: performance.now() + timeoutMs,
      signal,
      consume: async (stdout) => void stdout.resume(),
    });
    return log;
  }

  private spawn(args: string[], timeoutMs: number): FfmpegProcess {
    const command = this.hasPrlimit ? ['prlimit', ...resourceLimits(timeoutMs), '--', this.path] : [this.path];
    const [program = this.path, ...leading] = command;
    const child = spawn(program, [...leading, ...args], {
      // A process group of its own, so that its children are killed with it.
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      // Only what a program needs to start: no proxy settings, no secrets of this service.
      env: { PATH: process.env.PATH, LD_LIBRARY_PATH: process.env.LD_LIBRARY_PATH, AV_LOG_FORCE_NOCOLOR: '1' },
    });
    if (child.pid !== undefined) yieldCores(child.pid);
    return child;
  }
}

/**
 * Gives the service priority over a decode. With autogrouping, Linux schedules sessions against each other before it
 * considers the nice values of their processes, so the autogroup's nice value is set too.
 * Source: sched(7), "The autogroup feature".
 */
function yieldCores(pid: number): void {
  try {
    setPriority(pid, SLOW_WORK_NICENESS);
    writeFileSync(`/proc/${pid}/autogroup`, String(SLOW_WORK_NICENESS));
  } catch {
    // The process has ended, or the kernel has no autogroups; then the nice value alone applies.
  }
}

type FfmpegProcess = ChildProcessByStdio<null, Readable, Readable>;

/** The whole command line: global options, options of the input, the input, options of the output, the output. */
function argumentsOf({ input, outputArgs, logLevel }: FfmpegRun<unknown>): string[] {
  return [
    ...['-nostdin', '-hide_banner', '-nostats', '-loglevel', logLevel, '-max_alloc', `${ALLOCATION_LIMIT_BYTES}`],
    ...inputArgs(input),
    // V: video streams except attached cover images. No sound, subtitles or data.
    ...['-map', '0:V:0', '-an', '-sn', '-dn'],
    ...outputArgs,
    'pipe:1',
  ];
}

function inputArgs({
  path,
  format,
  maxPixels,
  maxSeconds,
  fromSeconds,
  decoder,
  keyframesOnly,
}: FfmpegInput): string[] {
  const { demuxer } = VIDEO_FORMATS[format];
  return [
    // Only local files, and only this demuxer: no playlists, no URLs, no external tracks.
    ...['-protocol_whitelist', 'file', '-format_whitelist', demuxer, '-f', demuxer],
    ...(demuxer === 'mov' ? ['-enable_drefs', '0', '-use_absolute_path', '0'] : []),
    ...['-codec_whitelist', DECODERS.join(','), '-max_streams', `${MAX_STREAMS}`, '-max_pixels', `${maxPixels}`],
    ...['-threads', `${DECODER_THREADS}`, '-t', `${maxSeconds}`],
    ...(fromSeconds === undefined ? [] : ['-ss', fromSeconds.toFixed(6)]),
    ...(decoder === undefined ? [] : ['-c:v', decoder]),
    ...(keyframesOnly ? ['-skip_frame', 'nokey'] : []),
    ...['-i', `file:${path}`],
  ];
}

/** prlimit's arguments: memory, CPU time, no writing to files, few open files, no core dump. */
function resourceLimits(timeoutMs: number): string[] {
  const cpuSeconds = Math.ceil(timeoutMs / 1000) * DECODER_THREADS + 1;
  return [`--as=${MEMORY_LIMIT_BYTES}`, `--cpu=${cpuSeconds}`, '--fsize=0', '--nofile=64', '--core=0'];
}

function killGroup(child: FfmpegProcess): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** The start of a stream as text; the rest is read and discarded, so that its writer never blocks. */
async function readStart(stream: Readable): Promise<string> {
  let start = '';
  for await (const chunk of stream.setEncoding('utf8')) if (start.length < STDERR_LIMIT_CHARS) start += chunk;
  return start;
}

/** The first line of a program's output; undefined when it does not run. */
async function versionOf(program: string, ...args: string[]): Promise<string | undefined> {
  try {
    const { stdout } = await promisify(execFile)(program, args, { timeout: VERSION_TIMEOUT_MS });
    return stdout.split('\n', 1)[0];
  } catch {
    return undefined;
  }
}

/** Whether a program has the filters that map tones; one that does not even tell has none. */
async function hasFilters(program: string): Promise<boolean> {
  const args = ['-hide_banner', '-filters'];
  const listed = promisify(execFile)(program, args, { timeout: VERSION_TIMEOUT_MS }).catch(() => ({ stdout: '' }));
  const { stdout } = await listed;
  return / zscale /.test(stdout) && / tonemap /.test(stdout);
}

/** The binary of the optional package ffmpeg-static, where both exist. */
function staticBinary(): string[] {
  try {
    const binary: unknown = createRequire(import.meta.url)('ffmpeg-static');
    return typeof binary === 'string' && existsSync(binary) ? [binary] : [];
  } catch {
    return [];
  }
}
