/** Inputs of the benchmarks: generated, the same in every run, and all different, so that no cache can answer. */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import sharp from 'sharp';
import { random } from '../random.mjs';

const run = promisify(execFile);
const VARIANTS = 16;

export const WORDS = 'red blue green cat dog car tree house river moon star fish bird cake clock shoe'.split(' ');

/** Texts of exactly `tokens` tokens: every word above is one token. */
export function texts(tokens, count, seed = tokens) {
  const next = random(seed);
  return Array.from({ length: count }, () =>
    Array.from({ length: tokens }, () => WORDS[Math.floor(next() * WORDS.length)]).join(' '),
  );
}

/** Photo-like JPEGs: smooth shapes under noise, which compress and decode like photographs. */
export async function jpegs(width, height) {
  const make = async (_, i) => {
    const next = random(i + 1);
    const small = Uint8Array.from({ length: 48 * 36 * 3 }, () => next() * 256);
    const shapes = sharp(small, { raw: { width: 48, height: 36, channels: 3 } }).resize(width, height, {
      kernel: 'cubic',
    });
    const grain = {
      create: { width, height, channels: 3, background: 'grey', noise: { type: 'gaussian', mean: 128, sigma: 20 } },
    };
    const noise = await sharp(grain).png({ compressionLevel: 0 }).toBuffer();
    return shapes
      .composite([{ input: noise, blend: 'soft-light' }])
      .jpeg({ quality: 88 })
      .toBuffer();
  };
  return Promise.all(Array.from({ length: VARIANTS }, make));
}

/** Four H.264 videos, by default ten seconds of 720p, like those of a phone. */
export async function videos({ seconds = 10, size = '1280x720' } = {}) {
  const folder = await mkdtemp(path.join(tmpdir(), 'onespace-bench-'));
  const make = async (_, i) => {
    const file = path.join(folder, `${i}.mp4`);
    const source = `testsrc2=duration=${seconds}:size=${size}:rate=30,hue=h=${i * 20},noise=alls=12:allf=t`;
    const encode = ['-c:v', 'libx264', '-preset', 'fast', '-crf', '26', '-pix_fmt', 'yuv420p'];
    await run('ffmpeg', ['-v', 'error', '-f', 'lavfi', '-i', source, ...encode, file]);
    return readFile(file);
  };
  const made = [];
  for (let i = 0; i < 4; i++) made.push(await make(null, i));
  await rm(folder, { recursive: true });
  return made;
}

let sent = 0;

/**
 * Makes a file unique, because concurrent requests with the same file are computed once: appends a number after the end
 * of a JPEG, or in a `free` box at the end of an MP4. It decodes to the same frames.
 * @returns the file in two chunks
 */
export function uniqueFile(file, type) {
  const tail = Buffer.alloc(16);
  if (type === 'video/mp4') tail.writeUInt32BE(tail.length);
  tail.write('free', 4);
  tail.writeUInt32BE(sent++, 12);
  return [file, tail];
}
