import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { Problem } from '../../common/errors.js';
import { brokenMedia, tooManyPixels, videoTooLong } from '../errors.js';
import type { VideoFormat } from '../formats.js';
import type { MediaLimits } from '../limits.js';
import type { Ffmpeg } from './ffmpeg.js';

/** The properties of a video. */
export interface VideoInfo {
  /** Pixels across as shown: rotated, with square pixels. */
  width: number;
  /** Pixels down as shown. */
  height: number;
  /** From the start of the first frame to the end of the last. */
  durationSeconds: number;
  /** Times of the keyframes, ascending, in seconds from the first frame. */
  keyframeSeconds: number[];
  /** Whether pixels may be transparent. */
  hasAlpha: boolean;
  /** The curve of a high dynamic range; undefined for the usual one. */
  hdr: 'pq' | 'hlg' | undefined;
  /** ffmpeg's name of the codec. */
  codec: string;
  /** What ffmpeg says of the file: its tags and streams. */
  log: string;
}

/** A video file and what bounds the work on it. */
export interface VideoSource {
  /** Absolute path. */
  path: string;
  format: VideoFormat;
  limits: MediaLimits;
  /** When all work on the file must be done, in milliseconds of `performance.now()`. */
  deadlineMs: number;
  signal?: AbortSignal | undefined;
}

/**
 * Measures a video from its packets, without decoding them. The duration in the header is not used: browsers record
 * without one, and a hostile file can state any.
 *
 * @throws Problem `broken_media`, `too_many_pixels`, `video_too_long`, `decode_timeout`, `client_closed`
 */
export async function probeVideo(ffmpeg: Ffmpeg, source: VideoSource): Promise<VideoInfo> {
  // One second more than allowed distinguishes a video that is too long from one of exactly the limit.
  const { packets, log } = await readHead(ffmpeg, source, source.limits.maxVideoSeconds + 1);
  const seconds = durationSeconds(packets);
  assertWithinLimits(packets, seconds, source.limits);
  return { ...describe(packets, log), durationSeconds: seconds };
}

/** Enough of a video to know its size and its codec. */
const BEGINNING_SECONDS = 2;

/**
 * Measures a video by its beginning and what its header says of the rest: of a file of many gigabytes little is read.
 *
 * @returns undefined where the header tells no duration
 * @throws Problem as `probeVideo`
 */
export async function probeBeginning(ffmpeg: Ffmpeg, source: VideoSource): Promise<VideoInfo | undefined> {
  const { packets, log } = await readHead(ffmpeg, source, BEGINNING_SECONDS);
  const stated = statedSeconds(log);
  if (!(stated > 0)) return undefined;
  assertWithinLimits(packets, stated, source.limits);
  return { ...describe(packets, log), durationSeconds: stated };
}

/** How long a video is by its header; 0 where that tells nothing. @param log of ffmpeg with the level `info` */
export function statedSeconds(log: string): number {
  const [, hours = 0, minutes = 0, seconds = 0] = /Duration: (\d+):(\d\d):(\d\d\.\d+)/.exec(log)?.map(Number) ?? [];
  return 3600 * hours + 60 * minutes + seconds;
}

/** Reads the packets of the first seconds of a video. @throws Problem `broken_media`, `unsupported_media` */
async function readHead(ffmpeg: Ffmpeg, source: VideoSource, maxSeconds: number) {
  const { output: packets, log } = await ffmpeg.run({
    input: { ...source, maxPixels: source.limits.maxPixels, maxSeconds },
    outputArgs: ['-c', 'copy', '-f', 'framecrc'],
    logLevel: 'info',
    deadlineMs: source.deadlineMs,
    signal: source.signal,
    consume: readPackets,
  });
  const codec = packets.codec || /: Video: (\w+)/.exec(log)?.[1];
  if (codec !== undefined && isLeftOut(codec, log)) throw leftOut(codec);
  if (packets.count === 0) throw noFrames(log);
  return { packets, log };
}

const describe = (packets: PacketTotals, log: string): Omit<VideoInfo, 'durationSeconds'> => ({
  ...displaySize(packets, log),
  keyframeSeconds: keyframeSeconds(packets),
  codec: packets.codec,
  hasAlpha: hasAlpha(log),
  hdr: hdrCurve(log),
  log,
});

/** Totals over the packets of a video stream. */
interface PacketTotals {
  count: number;
  codec: string;
  /** Pixels as stored. */
  width: number;
  height: number;
  /** Width of a pixel by its height. */
  pixelAspect: number;
  secondsPerTick: number;
  startTicks: number;
  endTicks: number;
  /** Presentation times of the keyframes, in the order of the file. */
  keyframeTicks: number[];
}

/** ffmpeg's AV_NOPTS_VALUE: a packet without a time. */
const NO_TIME = -(2 ** 63);

/**
 * Parses ffmpeg's framecrc output: `#key 0: value` lines about the stream, then a line per packet: stream, decoding
 * time, presentation time, duration (in ticks of `#tb`), size, checksum, and flags, which are left out when the
 * keyframe flag is the only one.
 */
async function readPackets(stdout: Readable): Promise<PacketTotals> {
  const header = new Map<string, string>();
  const times: PacketTimes = { count: 0, startTicks: Number.POSITIVE_INFINITY, endTicks: 0, keyframeTicks: [] };
  for await (const line of createInterface({ input: stdout })) {
    const [, key = '', value = ''] = /^#(\w+) 0: *(.*)/.exec(line) ?? [];
    if (key !== '') header.set(key, value);
    else if (!line.startsWith('#')) addPacket(times, line);
  }
  const [width = 0, height = 0] = (header.get('dimensions') ?? '').split('x').map(Number);
  return {
    ...times,
    codec: header.get('codec_id') ?? '',
    width,
    height,
    pixelAspect: ratio(header.get('sar')) || 1,
    secondsPerTick: ratio(header.get('tb')),
  };
}

type PacketTimes = Pick<PacketTotals, 'count' | 'startTicks' | 'endTicks' | 'keyframeTicks'>;

function addPacket(times: PacketTimes, line: string): void {
  const [, decoding = 0, presentation = NO_TIME, duration = 0] = line.split(',').map(Number);
  const start = presentation <= NO_TIME ? decoding : presentation;
  times.count += 1;
  times.endTicks = Math.max(times.endTicks, start + duration);
  // Packets before zero are needed to decode the first shown frame, but are not shown themselves.
  if (start < 0) return;
  times.startTicks = Math.min(times.startTicks, start);
  if (isKeyframe(line)) times.keyframeTicks.push(start);
}

/** The lowest bit of the flags; absent flags mean a keyframe. */
function isKeyframe(line: string): boolean {
  const flags = /F=0x([0-9A-F]+)/.exec(line)?.[1];
  return flags === undefined || Number.parseInt(flags, 16) % 2 === 1;
}

function ratio(text: string | undefined): number {
  const [numerator = 0, denominator = 1] = (text ?? '').split('/').map(Number);
  return denominator === 0 ? 0 : numerator / denominator;
}

/** A millisecond at least: a single frame without a duration is a video too. */
const durationSeconds = ({ startTicks, endTicks, secondsPerTick }: PacketTotals): number =>
  Math.max((endTicks - startTicks) * secondsPerTick, 0.001) || 0.001;

const keyframeSeconds = ({ keyframeTicks, startTicks, secondsPerTick }: PacketTotals): number[] =>
  keyframeTicks.map((ticks) => (ticks - startTicks) * secondsPerTick).sort((a, b) => a - b);

/** A pixel aspect ratio beyond this comes from a damaged header, not from an anamorphic lens. */
const MAX_PIXEL_ASPECT = 8;

/** The size of the frames as shown: with square pixels, rotated as the display matrix says. */
function displaySize({ width, height, pixelAspect }: PacketTotals, log: string): { width: number; height: number } {
  const isPlausible = pixelAspect >= 1 / MAX_PIXEL_ASPECT && pixelAspect <= MAX_PIXEL_ASPECT;
  const shownWidth = Math.max(1, Math.round(isPlausible ? width * pixelAspect : width));
  const degrees = Number(/displaymatrix: rotation of (-?[\d.]+) degrees/.exec(aboutOutput(log))?.[1] ?? 0);
  const isQuarterTurn = Math.abs((Math.abs(degrees) % 180) - 90) < 1;
  return isQuarterTurn ? { width: height, height: shownWidth } : { width: shownWidth, height };
}

/** Transparency is announced by the pixel format (yuva420p, rgba ...) or, in WebM, by a tag. */
function hasAlpha(log: string): boolean {
  const stream = aboutOutput(log);
  return /: Video: .*, (yuva|gbrap|rgba|argb|bgra|abgr|ya8|ya16|pal8)/.test(stream) || /alpha_mode *: *1/.test(stream);
}

/** What the stream says of its transfer function: SMPTE ST 2084 or ITU-R BT.2100's hybrid log-gamma. */
function hdrCurve(log: string): VideoInfo['hdr'] {
  const stream = aboutOutput(log);
  if (/: Video: .*smpte2084/.test(stream)) return 'pq';
  return /: Video: .*arib-std-b67/.test(stream) ? 'hlg' : undefined;
}

/** The part of the log on the selected stream, without the other streams of the file. */
const aboutOutput = (log: string) => log.slice(Math.max(0, log.indexOf('Output #0')));

/** Whether ffmpeg refused the decoder of a codec because it is not one of ours. */
const isLeftOut = (codec: string, log: string): boolean =>
  [...log.matchAll(/Codec \((\w+)\) not on whitelist/g)].some(([, name]) => name === codec);

const leftOut = (codec: string): Problem =>
  new Problem('unsupported_media', `The video uses the codec ${codec}, which this service does not decode.`, {
    received: `a video of the codec ${codec}`,
  });

function noFrames(log: string): Problem {
  return /Stream #0.*: Audio:/.test(log)
    ? brokenMedia('The file has sound but no video stream; send a video.')
    : brokenMedia('The video cannot be read; it may be damaged or cut short.');
}

function assertWithinLimits(packets: PacketTotals, seconds: number, { maxPixels, maxVideoSeconds }: MediaLimits): void {
  const pixels = packets.width * packets.height;
  if (!(pixels > 0)) throw brokenMedia('The video does not state the size of its frames.');
  if (pixels > maxPixels) throw tooManyPixels('A frame of the video has', pixels, maxPixels);
  if (seconds > maxVideoSeconds) throw videoTooLong(maxVideoSeconds);
}
