import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import type { Problem } from '../../common/errors.js';
import type { VideoFormat } from '../detect-format.js';
import { brokenMedia, tooManyPixels, videoTooLong } from '../errors.js';
import type { MediaLimits } from '../limits.js';
import type { Ffmpeg } from './ffmpeg.js';

/** What a clip is, as measured from its packets. */
export interface VideoInfo {
  /** Pixels across as shown: rotated and with square pixels. */
  width: number;
  /** Pixels down as shown. */
  height: number;
  /** From the first picture to the end of the last. */
  durationSeconds: number;
  /** Times of the pictures that can be decoded without any other, ascending, from the first picture on. */
  keyframeSeconds: number[];
  /** Whether pixels may be transparent. */
  hasAlpha: boolean;
  codec: string;
}

/** A video file and what bounds the work on it. */
export interface VideoSource {
  path: string;
  format: VideoFormat;
  limits: MediaLimits;
  /** When the work must be done, by `performance.now()`. */
  deadlineMs: number;
  signal?: AbortSignal | undefined;
}

/**
 * Measures a clip by walking through its packets without decoding them. The header's word on
 * its duration is not taken: it is missing in what browsers record and wrong in what is hostile.
 *
 * @throws Problem broken_media, too_many_pixels, video_too_long, decode_timeout, client_closed
 */
export async function probeVideo(ffmpeg: Ffmpeg, source: VideoSource): Promise<VideoInfo> {
  const { limits, deadlineMs, signal } = source;
  const { output: packets, log } = await ffmpeg.run({
    // One second more than allowed tells a clip that is too long from one that just fits.
    input: { ...source, maxPixels: limits.maxPixels, maxSeconds: limits.maxVideoSeconds + 1 },
    outputArgs: ['-c', 'copy', '-f', 'framecrc'],
    logLevel: 'info',
    deadlineMs,
    signal,
    consume: readPackets,
  });
  if (packets.count === 0) throw noPicture(log);
  assertWithinLimits(packets, limits);
  return {
    ...displaySize(packets, log),
    durationSeconds: durationSeconds(packets),
    keyframeSeconds: keyframeSeconds(packets),
    codec: packets.codec,
    hasAlpha: hasAlpha(log),
  };
}

/** The stream of packets, summed up. */
interface Packets {
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

/** ffmpeg's mark for a packet without a time. */
const NO_TIME = -(2 ** 63);

/**
 * Reads ffmpeg's framecrc output: `#key 0: value` lines about the stream, then a line a packet:
 * stream, decoding time, presentation time, duration (in ticks of `#tb`), size, checksum, and
 * flags where the packet is not just a keyframe.
 */
async function readPackets(stdout: Readable): Promise<Packets> {
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

type PacketTimes = Pick<Packets, 'count' | 'startTicks' | 'endTicks' | 'keyframeTicks'>;

function addPacket(times: PacketTimes, line: string): void {
  const [, decoding = 0, presentation = NO_TIME, duration = 0] = line.split(',').map(Number);
  const start = presentation <= NO_TIME ? decoding : presentation;
  times.count += 1;
  times.endTicks = Math.max(times.endTicks, start + duration);
  // Packets before zero are needed to decode the first picture, but cut away from what is shown.
  if (start < 0) return;
  times.startTicks = Math.min(times.startTicks, start);
  if (isKeyframe(line)) times.keyframeTicks.push(start);
}

/** The flags' lowest bit; they are left out when it is the only one. */
function isKeyframe(line: string): boolean {
  const flags = /F=0x([0-9A-F]+)/.exec(line)?.[1];
  return flags === undefined || Number.parseInt(flags, 16) % 2 === 1;
}

function ratio(text: string | undefined): number {
  const [numerator = 0, denominator = 1] = (text ?? '').split('/').map(Number);
  return denominator === 0 ? 0 : numerator / denominator;
}

/** A millisecond at least: a single picture without a duration is still a clip. */
const durationSeconds = ({ startTicks, endTicks, secondsPerTick }: Packets): number =>
  Math.max((endTicks - startTicks) * secondsPerTick, 0.001) || 0.001;

const keyframeSeconds = ({ keyframeTicks, startTicks, secondsPerTick }: Packets): number[] =>
  keyframeTicks.map((ticks) => (ticks - startTicks) * secondsPerTick).sort((a, b) => a - b);

/** Pixels more stretched than this are a damaged header, not a lens. */
const MAX_PIXEL_ASPECT = 8;

/** The size of the pictures as shown: pixels made square, then turned as the file asks. */
function displaySize({ width, height, pixelAspect }: Packets, log: string): { width: number; height: number } {
  const isPlausible = pixelAspect >= 1 / MAX_PIXEL_ASPECT && pixelAspect <= MAX_PIXEL_ASPECT;
  const shownWidth = Math.max(1, Math.round(isPlausible ? width * pixelAspect : width));
  const degrees = Number(/displaymatrix: rotation of (-?[\d.]+) degrees/.exec(aboutOutput(log))?.[1] ?? 0);
  const isQuarterTurn = Math.abs((Math.abs(degrees) % 180) - 90) < 1;
  return isQuarterTurn ? { width: height, height: shownWidth } : { width: shownWidth, height };
}

/** Transparency, as the pixel format (yuva420p, rgba ...) or, in WebM, a tag says. */
function hasAlpha(log: string): boolean {
  const stream = aboutOutput(log);
  return /: Video: .*, (yuva|gbrap|rgba|argb|bgra|abgr|ya8|ya16|pal8)/.test(stream) || /alpha_mode *: *1/.test(stream);
}

/** The part of the log on the one stream that is read, not on the others in the file. */
const aboutOutput = (log: string) => log.slice(Math.max(0, log.indexOf('Output #0')));

function noPicture(log: string): Problem {
  return /Stream #0.*: Audio:/.test(log)
    ? brokenMedia('The file has sound but no moving picture.')
    : brokenMedia('The video cannot be read; it may be damaged or cut short.');
}

function assertWithinLimits(packets: Packets, { maxPixels, maxVideoSeconds }: MediaLimits): void {
  const pixels = packets.width * packets.height;
  if (!(pixels > 0)) throw brokenMedia('The video does not say how large its pictures are.');
  if (pixels > maxPixels) throw tooManyPixels('A frame of the video has', pixels, maxPixels);
  if (durationSeconds(packets) > maxVideoSeconds) throw videoTooLong(maxVideoSeconds);
}
