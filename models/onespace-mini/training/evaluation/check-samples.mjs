// Asks the shipped model the questions of samples/queries.json, the way the
// service would: sharp and ffmpeg for the files, @huggingface/tokenizers for
// the words, onnxruntime-node for the model.
//
//   node evaluation/check-samples.mjs [fp32|q8]   exit code 1 if fewer than 10 of 12 rank both right files first

import '../../../../dist/src/lib/no-telemetry.js';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Tokenizer } from '@huggingface/tokenizers';
import * as ort from 'onnxruntime-node';
import sharp from 'sharp';

/** The folder `training`. */
const here = path.join(path.dirname(fileURLToPath(import.meta.url)), '..');
const modelFolder = path.join(here, '..');
const samples = path.join(here, '../../../samples');
const readJson = (file) => JSON.parse(fs.readFileSync(file, 'utf8'));
const card = readJson(path.join(modelFolder, 'model.json'));
const tokenizer = new Tokenizer(readJson(path.join(modelFolder, card.tokenizer)), {});
const session = await ort.InferenceSession.create(path.join(modelFolder, card.graphs[process.argv[2] ?? 'fp32']), {
  extra: { session: { disable_quant_qdq: '1', x64quantprecision: '1' } }, // as the service does: int8 weights are opened, not multiplied as such
});
const PATCH = card.patch;

async function embed({ ids = [], patches = new Uint8Array(), positions = [] }) {
  const count = positions.length / 3;
  const { embedding } = await session.run({
    input_ids: new ort.Tensor('int64', BigInt64Array.from(ids, BigInt), [1, ids.length]),
    text_mask: new ort.Tensor('float32', new Float32Array(ids.length).fill(1), [1, ids.length]),
    patches: new ort.Tensor('uint8', patches, [1, count, PATCH * PATCH * 3]),
    positions: new ort.Tensor('float32', Float32Array.from(positions), [1, count, 3]),
    patch_mask: new ort.Tensor('float32', new Float32Array(count).fill(1), [1, count]),
  });
  return embedding.data;
}

/** [{ pixels: RGB bytes, time }] of one size -> patches and their places. */
function serialise(frames, width, height) {
  const [columns, rows] = [width / PATCH, height / PATCH];
  const longer = Math.max(rows, columns);
  const patches = new Uint8Array(frames.length * rows * columns * PATCH * PATCH * 3);
  const positions = [];
  let to = 0;
  for (const { pixels, time } of frames) {
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < columns; c++) {
        positions.push(time, (r + 0.5) / longer, (c + 0.5) / longer);
        for (let y = 0; y < PATCH; y++) {
          const from = ((r * PATCH + y) * width + c * PATCH) * 3;
          patches.set(pixels.subarray(from, from + PATCH * 3), to);
          to += PATCH * 3;
        }
      }
    }
  }
  return { patches, positions };
}

/** The longer side at `side` px, the shorter one a multiple of 16. */
function fit(width, height, side) {
  const shorter = Math.max(
    PATCH,
    Math.round((Math.min(width, height) * side) / Math.max(width, height) / PATCH) * PATCH,
  );
  return width >= height ? [side, shorter] : [shorter, side];
}

async function embedImage(file) {
  const { width, height } = await sharp(file).metadata();
  const [w, h] = fit(width, height, card.image.side);
  const pixels = await sharp(file)
    .flatten({ background: '#fff' })
    .resize(w, h, { fit: 'fill' })
    .toColourspace('srgb')
    .raw()
    .toBuffer();
  return embed(serialise([{ pixels, time: 0 }], w, h));
}

async function embedVideo(file) {
  const probe = spawnSync('ffprobe', [
    '-v',
    'error',
    '-select_streams',
    'v:0',
    '-show_entries',
    'stream=width,height:format=duration',
    '-of',
    'json',
    file,
  ]);
  const { streams, format } = JSON.parse(probe.stdout);
  const [w, h] = fit(streams[0].width, streams[0].height, card.video.side);
  const seconds = Number(format.duration);
  const count = card.video.min_frames;
  const args = [
    '-v',
    'error',
    '-i',
    file,
    '-vf',
    `fps=${count / seconds},scale=${w}:${h}:flags=area`,
    '-f',
    'rawvideo',
    '-pix_fmt',
    'rgb24',
    '-',
  ];
  const { stdout } = spawnSync('ffmpeg', args, { maxBuffer: 1 << 27 });
  const bytes = w * h * 3;
  const frames = Array.from({ length: Math.floor(stdout.length / bytes) }, (_, k) => ({
    pixels: stdout.subarray(k * bytes, (k + 1) * bytes),
    time: (k * seconds) / count,
  }));
  return embed(serialise(frames, w, h));
}

const dot = (a, b) => a.reduce((sum, v, i) => sum + v * b[i], 0);
const files = fs
  .readFileSync(path.join(samples, 'captions.jsonl'), 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line));
for (const item of files)
  item.vector = await (item.modal_type === 'image' ? embedImage : embedVideo)(path.join(samples, item.file));

/** Place (1 = first) of the right file among those of its kind, and the first one's name and score. */
function rank(query, kind, right) {
  const scored = files
    .filter((f) => f.modal_type === kind)
    .map((f) => ({ file: f.file, score: dot(query, f.vector) }))
    .sort((a, b) => b.score - a.score);
  const place = scored.findIndex((f) => f.file === right) + 1;
  return {
    place,
    text: `${String(place).padStart(2)} (${scored[place - 1].score.toFixed(2)}${place > 1 ? `, first: ${path.basename(scored[0].file)} ${scored[0].score.toFixed(2)}` : ''})`,
  };
}

let good = 0;
for (const { query, image, video } of readJson(path.join(samples, 'queries.json'))) {
  const vector = await embed({ ids: tokenizer.encode(query).ids });
  const [picture, clip] = [rank(vector, 'image', image), rank(vector, 'video', video)];
  if (picture.place === 1 && clip.place === 1) good++;
  console.log(`${query.padEnd(18)} image ${picture.text.padEnd(36)} clip ${clip.text}`);
}
console.log(`${good} of 12 queries have the right picture and the right clip first`);

// every caption as a query, beside the twelve
for (const language of ['en', 'zh']) {
  for (const kind of ['image', 'video']) {
    const asked = files.filter((f) => f.modal_type === kind);
    let first = 0;
    for (const f of asked)
      first += rank(await embed({ ids: tokenizer.encode(f[language]).ids }), kind, f.file).place === 1;
    console.log(`captions, ${language}, ${kind}: ${first} of ${asked.length} first`);
  }
}
process.exitCode = good >= 10 ? 0 : 1;
