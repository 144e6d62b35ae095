/** What the benchmark embeds: made here, the same every time, no two inputs alike (nothing may come from a cache). */
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

/** Photo-like JPEGs: smooth shapes under noise, so that they compress and decode like camera pictures. */
export async function jpegs(width, height) {
  const make = async (_, i) => {
    const next = random(i + 1);
    const small = Uint8Array.from({ length: 48 * 36 * 3 }, () => next() * 256);
    const base = sharp(small, { raw: { width: 48, height: 36, channels: 3 } }).resize(width, height, {
      kernel: 'cubic',
    });
    const grain = {
      create: { width, height, channels: 3, background: 'grey', noise: { type: 'gaussian', mean: 128, sigma: 20 } },
    };
    const noise = await sharp(grain).png({ compressionLevel: 0 }).toBuffer();
    return base
      .composite([{ input: noise, blend: 'soft-light' }])
      .jpeg({ quality: 88 })
      .toBuffer();
  };
  return Promise.all(Array.from({ length: VARIANTS }, make));
}

/** Four clips of h264; ten seconds of 720p, as a phone would send them, if nothing else is asked for. */
export async function clips({ seconds = 10, size = '1280x720' } = {}) {
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
 * The same few files over and over would be computed once for all who wait. A number after the end of a JPEG, or in
 * an empty box at the end of an MP4, makes each a file of its own that decodes to the same pictures.
 * @returns the file in two pieces
 */
export function unlikeAnyOther(file, type) {
  const tail = Buffer.alloc(16);
  if (type === 'video/mp4') tail.writeUInt32BE(tail.length);
  tail.write('free', 4);
  tail.writeUInt32BE(sent++, 12);
  return [file, tail];
}
