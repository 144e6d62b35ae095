import { type ChildProcessByStdio, execFile, spawn } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism, setPriority } from 'node:os';
import type { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { clientClosed } from '../../common/errors.js';
import { Slots } from '../../lib/semaphore.js';
import type { VideoFormat } from '../detect-format.js';
import { decodeTimeout } from '../errors.js';

/** Threads of one decode. Several clips at once use the other cores better than one clip would. */
const DECODER_THREADS = Math.min(2, availableParallelism());
/** Address space of one ffmpeg: an 8K clip takes about 2 GB with its decoder's reference frames. */
const MEMORY_LIMIT_BYTES = 4 * 2 ** 30;
/** Largest single allocation: more than any frame within the pixel limit needs. */
const ALLOCATION_LIMIT_BYTES = 2 ** 30;
/** ffmpeg writes a few lines for an honest file; a broken one can make it write one per packet. */
const STDERR_LIMIT_CHARS = 64 * 1024;
/** A file with more streams than this is an attack on the demuxer, not a recording. */
const MAX_STREAMS = 64;

const VERSION_TIMEOUT_MS = 20_000;
/** Exit codes of programs that cannot be started: a library is missing, or the file is. */
const NOT_STARTED = [126, 127];

/** ffmpeg's name of each container's demuxer: said to it, so that it never guesses "playlist" from the content. */
const DEMUXERS: Record<VideoFormat, string> = { mp4: 'mov', mov: 'mov', webm: 'matroska', mkv: 'matroska', avi: 'avi' };

/** The decoders a file may reach: those of cameras, phones, browsers and editors, not the 200 others. */
const DECODERS = [
  ...['h264', 'hevc', 'vp8', 'libvpx', 'vp9', 'libvpx-vp9', 'av1', 'libdav1d', 'libaom-av1'],
  ...['mpeg1video', 'mpeg2video', 'mpeg4', 'msmpeg4v2', 'msmpeg4', 'h263', 'mjpeg', 'theora', 'wmv2', 'vc1'],
  ...['prores', 'dnxhd', 'dvvideo', 'ffv1', 'huffyuv', 'ffvhuff', 'utvideo', 'qtrle', 'png', 'rawvideo', 'cinepak'],
];

/** A file for ffmpeg to read. */
export interface FfmpegInput {
  /** Absolute path. */
  path: string;
  format: VideoFormat;
  /** Most pixels of a frame, whatever the file's headers said before. */
  maxPixels: number;
  /** Seconds of the file after which reading stops. */
  maxSeconds: number;
  /** A decoder other than ffmpeg's own choice. */
  decoder?: string | undefined;
  /** Decode only pictures that need no other: many times faster where those are close enough together. */
  keyframesOnly?: boolean;
}

export interface FfmpegRun<T> {
  input: FfmpegInput;
  /** What to make of the input, up to the output's format; the output is always standard output. */
  outputArgs: readonly string[];
  /** `info` writes what the streams are to standard error; `error` only what went wrong. */
  logLevel: 'info' | 'error';
  /** When the run is killed, by `performance.now()`. */
  deadlineMs: number;
  signal?: AbortSignal | undefined;
  /** Reads standard output, at its own pace; ffmpeg is killed when it returns or throws early. */
  consume: (stdout: Readable) => Promise<T>;
}

export interface FfmpegResult<T> {
  output: T;
  /** What ffmpeg wrote to standard error, its beginning. For this code to read, not for clients: it names paths. */
  log: string;
}

/** The ffmpeg program, and how many of it may run at once. */
export class Ffmpeg {
  /** Held for the whole of one clip's work: bounds the processes and their memory together. */
  readonly slots: Slots;

  private constructor(
    readonly path: string,
    readonly version: string,
    private readonly hasPrlimit: boolean,
    maxProcesses: number,
  ) {
    this.slots = new Slots(maxProcesses);
  }

  /**
   * Finds ffmpeg: FFMPEG_PATH, the ffmpeg-static package, the system's.
   *
   * @param maxProcesses how many clips are decoded at once; the others wait
   * @throws Error naming the remedy, when none runs
   */
  static async locate(env: NodeJS.ProcessEnv = process.env, maxProcesses = availableParallelism()): Promise<Ffmpeg> {
    const candidates = env.FFMPEG_PATH ? [env.FFMPEG_PATH] : [...staticBinary(), 'ffmpeg'];
    for (const candidate of candidates) {
      const version = await versionOf(candidate, '-version');
      if (version === undefined) continue;
      // Tried as it will be used: a container may forbid these limits, or ffmpeg need more than they leave.
      const limited = [...resourceLimits(VERSION_TIMEOUT_MS), '--', candidate, '-version'];
      const hasPrlimit = (await versionOf('prlimit', ...limited)) !== undefined;
      return new Ffmpeg(candidate, version, hasPrlimit, maxProcesses);
    }
    throw new Error(
      env.FFMPEG_PATH
        ? `FFMPEG_PATH (${env.FFMPEG_PATH}) does not run; correct it or unset it.`
        : 'ffmpeg is missing; install it (apt-get install ffmpeg) or set FFMPEG_PATH.',
    );
  }

  /**
   * Runs ffmpeg on one file, with nothing in its reach but that file.
   *
   * @throws Problem decode_timeout, client_closed; Error when ffmpeg does not start; and whatever `consume` throws
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
      // Output that ends because its writer was killed looks like any other end.
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

  private spawn(args: string[], timeoutMs: number): FfmpegProcess {
    const command = this.hasPrlimit ? ['prlimit', ...resourceLimits(timeoutMs), '--', this.path] : [this.path];
    const [program = this.path, ...leading] = command;
    const child = spawn(program, [...leading, ...args], {
      // A process group of its own, so that whatever it starts dies with it.
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      // No proxy settings, no secrets of this service: only what a program needs to start.
      env: { PATH: process.env.PATH, LD_LIBRARY_PATH: process.env.LD_LIBRARY_PATH, AV_LOG_FORCE_NOCOLOR: '1' },
    });
    if (child.pid !== undefined) yieldCores(child.pid);
    return child;
  }
}

/** Nice value of a decode: a clip takes seconds either way, a text that waits for a core is late. */
const DECODER_NICENESS = 6;

/**
 * Lets the service go before a decode where both want a core. Linux weighs process groups of their own against each
 * other before it looks at the niceness of their processes (sched_autogroup), so the group yields too.
 */
function yieldCores(pid: number): void {
  try {
    setPriority(pid, DECODER_NICENESS);
    writeFileSync(`/proc/${pid}/autogroup`, String(DECODER_NICENESS));
  } catch {
    // Gone already, or a kernel without autogroups: then niceness alone decides.
  }
}

type FfmpegProcess = ChildProcessByStdio<null, Readable, Readable>;

/** The whole command line: global options, options of the input, the input, options of the output, the output. */
function argumentsOf({ input, outputArgs, logLevel }: FfmpegRun<unknown>): string[] {
  return [
    ...['-nostdin', '-hide_banner', '-nostats', '-loglevel', logLevel, '-max_alloc', `${ALLOCATION_LIMIT_BYTES}`],
    ...inputArgs(input),
    // V: video that is not a cover picture. No sound, subtitles or data.
    ...['-map', '0:V:0', '-an', '-sn', '-dn'],
    ...outputArgs,
    'pipe:1',
  ];
}

function inputArgs({ path, format, maxPixels, maxSeconds, decoder, keyframesOnly }: FfmpegInput): string[] {
  const demuxer = DEMUXERS[format];
  return [
    // Only files, read only as this one container: no playlist, no URL, no other track's file.
    ...['-protocol_whitelist', 'file', '-format_whitelist', demuxer, '-f', demuxer],
    ...(demuxer === 'mov' ? ['-enable_drefs', '0', '-use_absolute_path', '0'] : []),
    ...['-codec_whitelist', DECODERS.join(','), '-max_streams', `${MAX_STREAMS}`, '-max_pixels', `${maxPixels}`],
    ...['-threads', `${DECODER_THREADS}`, '-t', `${maxSeconds}`],
    ...(decoder === undefined ? [] : ['-c:v', decoder]),
    ...(keyframesOnly ? ['-skip_frame', 'nokey'] : []),
    ...['-i', `file:${path}`],
  ];
}

/** prlimit's arguments: memory, CPU time, no file written, few opened, no core dump. */
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

/** The beginning of a stream as text; the rest is read and thrown away, so that its writer never blocks. */
async function readStart(stream: Readable): Promise<string> {
  let start = '';
  for await (const chunk of stream.setEncoding('utf8')) if (start.length < STDERR_LIMIT_CHARS) start += chunk;
  return start;
}

/** The first line a program writes about its version; undefined when it does not run. */
async function versionOf(program: string, ...args: string[]): Promise<string | undefined> {
  try {
    const { stdout } = await promisify(execFile)(program, args, { timeout: VERSION_TIMEOUT_MS });
    return stdout.split('\n', 1)[0];
  } catch {
    return undefined;
  }
}

/** Where the optional package ffmpeg-static keeps its binary, when both are there. */
function staticBinary(): string[] {
  try {
    const binary: unknown = createRequire(import.meta.url)('ffmpeg-static');
    return typeof binary === 'string' && existsSync(binary) ? [binary] : [];
  } catch {
    return [];
  }
}
