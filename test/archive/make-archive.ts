import { execFile } from 'node:child_process';
import { mkdir, readdir, readFile, rm, symlink, truncate, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import sharp, { type Sharp } from 'sharp';
import { mapConcurrent } from '../../src/lib/async/map-concurrent.js';
import { heicFrom } from '../media/image/heic.js';
import { ffmpeg } from '../media/support.js';
import { SENSOR, sensorValues, tiff } from './raw-file.js';

const run = promisify(execFile);
const SAMPLES = 'samples/images';
const SIDE = 256;

/** Codec and container of a still, by the name of the file; the rest is sharp's. */
const STILLS: Record<string, (picture: Sharp, folder: string) => Promise<Buffer>> = {
  'baseline.jpg': (picture) => picture.jpeg({ quality: 90 }).toBuffer(),
  'progressive.jpeg': (picture) => picture.jpeg({ progressive: true }).toBuffer(),
  'turned.jpg': (picture) => picture.rotate(90).withMetadata({ orientation: 8 }).jpeg().toBuffer(),
  'grey-profile.png': (picture) => picture.png({ palette: true }).toBuffer(),
  'sixteen.png': (picture) => picture.toColourspace('rgb16').png().toBuffer(),
  'photo.webp': (picture) => picture.webp().toBuffer(),
  'photo.avif': (picture) => picture.avif({ effort: 0 }).toBuffer(),
  'picture.gif': (picture) => picture.gif().toBuffer(),
  'scan.tiff': (picture) => picture.tiff({ compression: 'lzw' }).toBuffer(),
  'fax.tif': (picture) => picture.tiff({ compression: 'jpeg' }).toBuffer(),
  'iphone.heic': heic,
  'paint.bmp': (picture, folder) => encoded(picture, folder, 'paint.bmp', []),
  'nikon.nef': async (picture) =>
    tiff('II*\0', [], SENSOR, sensorValues(), await picture.jpeg().toBuffer(), sensorValues()),
  'adobe.dng': async (picture) => tiff('II*\0', [[0xc612, 1, 1]], [], await picture.jpeg().toBuffer()),
  'fuji.raf': async (picture) => Buffer.concat([Buffer.from('FUJIFILMCCD-RAW 0201'), await picture.jpeg().toBuffer()]),
};

/** ffmpeg's arguments of a clip, by the name of the file. */
const CLIPS: Record<string, readonly string[]> = {
  'phone.mp4': ['-c:v', 'libx264'],
  'phone-hevc.mp4': ['-c:v', 'libx265', '-x265-params', 'log-level=0', '-tag:v', 'hvc1'],
  'old.m4v': ['-c:v', 'mpeg4'],
  'camera.mov': ['-c:v', 'libx264', '-f', 'mov'],
  'edited.mov': ['-c:v', 'prores_ks', '-f', 'mov'],
  'motion.mov': ['-c:v', 'mjpeg', '-f', 'mov'],
  'nokia.3gp': ['-c:v', 'h263', '-s', '176x144'],
  'web.webm': ['-c:v', 'libvpx'],
  'web9.webm': ['-c:v', 'libvpx-vp9'],
  'film.mkv': ['-c:v', 'libx264'],
  'divx.avi': ['-c:v', 'mpeg4', '-vtag', 'DIVX'],
  'older.avi': ['-c:v', 'msmpeg4v2'],
  'still.avi': ['-c:v', 'mjpeg'],
  'tv.ts': ['-c:v', 'mpeg2video'],
  'camcorder.m2ts': ['-c:v', 'libx264', '-f', 'mpegts', '-mpegts_m2ts_mode', '1'],
  'disc.mpg': ['-c:v', 'mpeg2video'],
  'disc.vob': ['-c:v', 'mpeg2video', '-f', 'vob'],
  'windows.wmv': ['-c:v', 'wmv2'],
  'flash.flv': ['-c:v', 'flv'],
  'free.ogv': ['-c:v', 'libtheora'],
};

/** A file of the archive, and the sample that it shows. */
export interface MadeFile {
  /** Path in the archive, as `findFiles` tells it. */
  name: string;
  sample: string;
  modality: 'image' | 'video';
  /** Day on which it was taken, as its name says. */
  day: string;
}

export interface Archive {
  files: MadeFile[];
  /** Files that cannot be stored, by their names. */
  unreadable: string[];
}

const FILES_AT_ONCE = 2;

/**
 * Writes an archive as people have them: each format once, by the real encoders, with a sample that no other file of its kind
 * shows; copies in many folders up to `count` files; and among them what is damaged, odd, enormous, or no medium at all.
 */
export async function makeArchive(folder: string, count: number): Promise<Archive> {
  const samples = (await readdir(SAMPLES)).sort();
  const files: MadeFile[] = [];
  const scratch = `${folder}-scratch`;
  await mkdir(scratch, { recursive: true });
  const jobs = [...Object.keys(STILLS), ...Object.keys(CLIPS)].map((name, i) => ({
    name,
    sample: samples[i % samples.length] as string,
  }));
  const outcomes = await mapConcurrent(
    jobs,
    FILES_AT_ONCE,
    async ({ name, sample }, i = jobs.findIndex((job) => job.name === name)) => {
      const day = `20${String(10 + (i % 10))}-0${1 + (i % 9)}-1${i % 10}`;
      const place = path.join(folder, day.slice(0, 4), `${day.replaceAll('-', '')}_120000 ${name}`);
      await mkdir(path.dirname(place), { recursive: true });
      const own = path.join(scratch, String(i));
      await mkdir(own);
      const still = STILLS[name];
      const bytes = still === undefined ? await clip(sample, own, name) : await still(pictureOf(sample), own);
      await writeFile(place, bytes);
      files.push({
        name: path.relative(folder, place),
        sample,
        modality: still === undefined ? 'video' : 'image',
        day,
      });
    },
  );
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
  await makeCopies(folder, samples, count - files.length);
  const unreadable = await makeUnreadable(folder, files);
  await rm(scratch, { recursive: true });
  return { files, unreadable };
}

const pictureOf = (sample: string) =>
  sharp(path.join(SAMPLES, sample))
    .flatten({ background: 'white' })
    .resize(SIDE, SIDE, { fit: 'contain', background: 'white' });

async function encoded(picture: Sharp, folder: string, name: string, args: readonly string[]): Promise<Buffer> {
  const [from, to] = [path.join(folder, 'frame.png'), path.join(folder, name)];
  await writeFile(from, await picture.png().toBuffer());
  await run(ffmpeg.path, ['-nostdin', '-loglevel', 'error', '-y', '-i', from, ...args, to]);
  return readFile(to);
}

async function heic(picture: Sharp, folder: string): Promise<Buffer> {
  const codec = ['-pix_fmt', 'yuv420p', '-c:v', 'libx265', '-x265-params', 'log-level=0', '-tag:v', 'hvc1'];
  return heicFrom(await encoded(picture, folder, 'one.mp4', codec), SIDE, SIDE);
}

async function clip(sample: string, folder: string, name: string): Promise<Buffer> {
  const [from, to] = [path.join(folder, 'frame.png'), path.join(folder, name)];
  await writeFile(from, await pictureOf(sample).png().toBuffer());
  const input = ['-loop', '1', '-framerate', '25', '-t', '2', '-i', from];
  const args = CLIPS[name] ?? [];
  await run(ffmpeg.path, ['-nostdin', '-loglevel', 'error', '-y', ...input, '-pix_fmt', pixelsOf(args), ...args, to]);
  return readFile(to);
}

const pixelsOf = (args: readonly string[]): string => {
  if (args.includes('prores_ks')) return 'yuv422p10le';
  return args.includes('mjpeg') ? 'yuvj420p' : 'yuv420p';
};

/** Small pictures that differ from each other, in folders of a hundred. */
async function makeCopies(folder: string, samples: readonly string[], count: number): Promise<void> {
  const numbers = Array.from({ length: Math.max(0, count) }, (_, i) => i);
  const outcomes = await mapConcurrent(numbers, 8, async (i) => {
    const place = path.join(folder, `copies ${Math.floor(i / 100)}`, `IMG_${i}.jpg`);
    await mkdir(path.dirname(place), { recursive: true });
    const turned = pictureOf(samples[i % samples.length] as string).rotate(1 + (i % 179), { background: 'white' });
    await writeFile(
      place,
      await turned
        .resize(96, 96)
        .modulate({ hue: i % 360 })
        .jpeg()
        .toBuffer(),
    );
    const seconds = Date.UTC(2001, 0, 1 + (i % 300)) / 1000;
    await utimes(place, seconds, seconds);
  });
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
}

/** What cannot be stored; and an odd name for what can. */
async function makeUnreadable(folder: string, files: MadeFile[]): Promise<string[]> {
  const odd = path.join(folder, 'odd');
  await mkdir(odd);
  const whole = await pictureOf('cat.jpg').jpeg().toBuffer();
  await writeFile(path.join(odd, 'empty.jpg'), '');
  await writeFile(path.join(odd, 'cut.jpg'), whole.subarray(0, 300));
  await writeFile(path.join(odd, 'page.png'), '<html></html>');
  await writeFile(
    path.join(odd, 'noise.mp4'),
    Buffer.concat([Buffer.from('\0\0\0\x18ftypisom\0\0\0\0isommp42', 'latin1'), sensorValues()]),
  );
  await symlink('nowhere', path.join(odd, 'dangling.jpg'));
  await symlink('loop.jpg', path.join(odd, 'loop.jpg'));
  await mkdir(path.join(odd, 'folder.jpg'));
  await writeFile(path.join(odd, 'enormous.mp4'), Buffer.from('\0\0\0\x18ftypisom\0\0\0\0isommp42', 'latin1'));
  await truncate(path.join(odd, 'enormous.mp4'), 40e9);
  await writeFile(path.join(odd, 'notes.txt'), 'no medium');
  await run('sh', ['-c', `printf x > "${odd}/broken $(printf '\\377\\376').jpg"`]);
  const name = 'odd/20230405 鱼 & #1? %20 "Größe".jpg';
  await writeFile(path.join(folder, name), await pictureOf('dolphin.png').jpeg().toBuffer());
  files.push({ name, sample: 'dolphin.png', modality: 'image', day: '2023-04-05' });
  const unreadable = [
    'empty.jpg',
    'cut.jpg',
    'page.png',
    'noise.mp4',
    'dangling.jpg',
    'loop.jpg',
    'enormous.mp4',
    'broken ÿþ.jpg',
  ];
  return unreadable.map((one) => `odd/${one}`);
}
