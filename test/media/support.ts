/** Helpers of the media tests: files made by the real ffmpeg and sharp, and checks of pixels. */
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { afterAll, beforeAll } from 'vitest';
import { Problem, type ProblemCode } from '../../src/common/errors.js';
import { type DecodedMedia, type DecodeOptions, decodeMedia } from '../../src/media/decode.js';
import type { Frame, FrameSampling } from '../../src/media/frame.js';
import type { MediaLimits } from '../../src/media/limits.js';
import { receive, type Upload } from '../../src/media/upload.js';
import { Ffmpeg } from '../../src/media/video/ffmpeg.js';

export const ffmpeg = await Ffmpeg.locate();
export const shape = { side: 64, patch: 16 };
export const sampling: FrameSampling = { ...shape, framesPerSecond: 1, minFrames: 4, maxFrames: 8 };
export const limits: MediaLimits = { maxPixels: 4_000_000, maxVideoSeconds: 60, timeoutMs: 20_000 };

/** A temporary folder for the tests of one file, removed after them. */
export function useFolder(): { path: string } {
  const folder = { path: '' };
  beforeAll(async () => {
    folder.path = await mkdtemp(path.join(tmpdir(), 'onespace-media-'));
  });
  afterAll(() => rm(folder.path, { recursive: true, force: true }));
  return folder;
}

/** Writes a file with ffmpeg; `args` are its inputs, filters and codecs. */
export async function makeVideo(folder: string, name: string, ...args: string[]): Promise<Buffer> {
  const file = path.join(folder, name);
  await promisify(execFile)(ffmpeg.path, ['-nostdin', '-loglevel', 'error', '-y', ...args, file]);
  return readFile(file);
}

/** ffmpeg's arguments for a generated input: `source('color=red', '64x48', 2)`. */
export const source = (filter: string, size: string, seconds: number, fps = 10): string[] => [
  ...['-f', 'lavfi', '-i'],
  `${filter}${filter.includes('=') ? ':' : '='}s=${size}:r=${fps}:d=${seconds}`,
];

/** Left half red, right half blue. */
export const HALVES = ['-vf', 'drawbox=x=iw/2:w=iw/2:h=ih:y=0:c=blue:t=fill'];

export const receiveBytes = (bytes: Uint8Array, folder: string, maxBytes = 50e6): Promise<Upload> =>
  receive(Readable.from([bytes]), { maxBytes, folder });

/** Receives and decodes bytes, as a route does. */
export async function decodeBytes(
  bytes: Uint8Array,
  folder: string,
  options: Partial<DecodeOptions> = {},
): Promise<DecodedMedia> {
  const upload = await receiveBytes(bytes, folder);
  try {
    return await decodeMedia(upload, { image: shape, video: sampling, limits, ffmpeg, ...options });
  } finally {
    await upload.dispose();
  }
}

const COLOURS = {
  red: [255, 0, 0],
  green: [0, 128, 0],
  blue: [0, 0, 255],
  yellow: [255, 255, 0],
  white: [255, 255, 255],
  grey: [128, 128, 128],
  black: [0, 0, 0],
} as const;
export type Colour = keyof typeof COLOURS;
const TOLERANCE = 40;

/** The name of the colour at a point, given as fractions of width and height. */
export function colourAt(frame: Frame, across: number, down: number): Colour | string {
  const offset = 3 * (Math.floor(down * frame.height) * frame.width + Math.floor(across * frame.width));
  const rgb = [...frame.rgb.subarray(offset, offset + 3)];
  const isNear = ([, colour]: [string, readonly number[]]) =>
    colour.every((value, channel) => Math.abs(value - (rgb[channel] ?? -1)) <= TOLERANCE);
  return Object.entries(COLOURS).find(isNear)?.[0] ?? `rgb(${rgb})`;
}

/** The colours in the middle of the left, right, upper and lower part. */
export const sides = (frame: Frame | undefined) =>
  frame && {
    left: colourAt(frame, 0.2, 0.5),
    right: colourAt(frame, 0.8, 0.5),
    top: colourAt(frame, 0.5, 0.2),
    bottom: colourAt(frame, 0.5, 0.8),
  };

/** The colour in the middle of each frame. */
export const colours = (frames: Frame[]) => frames.map((frame) => colourAt(frame, 0.5, 0.5));

/** The problem that a promise is rejected with; throws on any other outcome. */
export async function problemOf(work: Promise<unknown>): Promise<Problem> {
  const error = await work.then(
    () => new Error('no problem was thrown'),
    (thrown: unknown) => thrown,
  );
  if (error instanceof Problem) return error;
  throw error;
}

export const codeOf = async (work: Promise<unknown>): Promise<ProblemCode> => (await problemOf(work)).code;

/** Command lines of the running processes that mention `text`. */
export async function processesOf(text: string): Promise<string[]> {
  const ids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const lines = await Promise.all(ids.map((id) => readFile(`/proc/${id}/cmdline`, 'utf8').catch(() => '')));
  return lines.map((line) => line.replaceAll('\0', ' ')).filter((line) => line.includes(text));
}
