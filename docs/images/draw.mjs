/**
 * Draws search.svg: what a running service with the samples in it answers, with its scores.
 *
 *   npm start; npm run samples; node docs/images/draw.mjs [http://127.0.0.1:8000]
 */
import { execFileSync } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';

const url = process.argv[2] ?? 'http://127.0.0.1:8000';
const SAMPLES = fileURLToPath(new URL('../../samples/', import.meta.url));
const QUESTIONS = [
  { text: 'a birthday cake with candles' },
  { text: '红色汽车' },
  { image: 'images/cat.jpg' },
  { text: 'butterfly' },
  { text: '火焰' },
  { text: 'ein Hubschrauber' },
];
const [CARD, GAP, MARGIN, TOP] = [{ width: 306, height: 184 }, 16, 17, 74];
const THUMB = 104;
/** Beside the first frame of a video, two more. */
const SMALL = (THUMB - 4) / 2;

async function best(question, modality) {
  const image = question.image && `data:;base64,${(await readFile(SAMPLES + question.image)).toString('base64')}`;
  // "More like this" by id leaves the item itself out.
  const like =
    image === undefined ? { text: question.text } : modality === 'image' ? { id: question.image } : { image };
  const response = await fetch(`${url}/retrieve`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ ...like, modal_type: modality, top_k: 1 }),
  });
  const { results } = await response.json();
  return results[0];
}

/** A JPEG of three halves of the size it is shown in: sharp on dense screens, and small. */
const asUrl = async (input, width, height) => {
  const jpeg = await sharp(input)
    .resize(width * 1.5, height * 1.5, { fit: 'cover' })
    .flatten({ background: 'white' })
    .jpeg({ quality: 76, mozjpeg: true })
    .toBuffer();
  return `data:image/jpeg;base64,${jpeg.toString('base64')}`;
};

/** A frame of a clip as PNG. */
const frameOf = (file, seconds) =>
  execFileSync(
    'ffmpeg',
    [
      '-loglevel',
      'error',
      '-ss',
      seconds,
      '-i',
      SAMPLES + file,
      '-frames:v',
      '1',
      '-f',
      'image2pipe',
      '-c:v',
      'png',
      '-',
    ].map(String),
    { maxBuffer: 1e8 },
  );

const picture = (href, x, y, width, height) =>
  `<image href="${href}" x="${x}" y="${y}" width="${width}" height="${height}"/>` +
  `<rect class="edge" x="${x}" y="${y}" width="${width}" height="${height}"/>`;

async function card(question, x, y) {
  const [image, clip] = [await best(question, 'image'), await best(question, 'video')];
  const left = x + 14;
  const right = left + THUMB + 14;
  const top = y + 44;
  const parts = [`<rect class="card" x="${x}" y="${y}" width="${CARD.width}" height="${CARD.height}" rx="8"/>`];
  if (question.text) parts.push(`<text class="ask" x="${left}" y="${y + 28}">“${question.text}”</text>`);
  else {
    parts.push(picture(await asUrl(SAMPLES + question.image, 30, 30), left, y + 8, 30, 30));
    parts.push(`<text class="ask" x="${left + 38}" y="${y + 28}">this image</text>`);
  }
  parts.push(picture(await asUrl(SAMPLES + image.id, THUMB, THUMB), left, top, THUMB, THUMB));
  const frames = [
    { seconds: 0.2, x: right, y: top, side: THUMB },
    { seconds: 0.8, x: right + THUMB + 4, y: top, side: SMALL },
    { seconds: 1.4, x: right + THUMB + 4, y: top + SMALL + 4, side: SMALL },
  ];
  for (const { seconds, x, y, side } of frames)
    parts.push(picture(await asUrl(frameOf(clip.id, seconds), side, side), x, y, side, side));
  parts.push(`<text class="score" x="${left}" y="${top + THUMB + 22}">image ${image.score.toFixed(3)}</text>`);
  parts.push(`<text class="score" x="${right}" y="${top + THUMB + 22}">video ${clip.score.toFixed(3)}</text>`);
  return parts.join('\n');
}

const width = 2 * MARGIN + 3 * CARD.width + 2 * GAP;
const height = TOP + 2 * CARD.height + GAP + MARGIN;
const health = await (await fetch(`${url}/health`)).json();
const cards = [];
for (const [i, question] of QUESTIONS.entries())
  cards.push(
    await card(question, MARGIN + (i % 3) * (CARD.width + GAP), TOP + Math.floor(i / 3) * (CARD.height + GAP)),
  );

const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-label="Six questions, and the nearest image and the nearest video to each">
<style>
  text { font-family: system-ui, "Segoe UI", "Noto Sans", "Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei", "DejaVu Sans", sans-serif; fill: #1f2328; }
  .title { font-size: 20px; font-weight: 600 } .ask { font-size: 15px; font-weight: 600 } .note, .score { font-size: 13px; fill: #57606a }
  .page { fill: #ffffff } .card { fill: #f6f8fa; stroke: #d0d7de } .edge { fill: none; stroke: #d0d7de }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .note, .score { fill: #9198a1 } .page { fill: #0d1117 } .card { fill: #161b22; stroke: #30363d } .edge { stroke: #30363d }
  }
</style>
<rect class="page" width="${width}" height="${height}" rx="10"/>
<text class="title" x="${MARGIN}" y="34">Text, images and video in one vector space</text>
<text class="note" x="${MARGIN}" y="58">The nearest of ${health.index.vectors.image} images and of ${health.index.vectors.video} videos, with inner products, by ${health.models[0].id} (12 MB, on a CPU)</text>
${cards.join('\n')}
</svg>
`;
await writeFile(new URL('search.svg', import.meta.url), svg);
console.log(`search.svg: ${Math.round(svg.length / 1000)} kB`);
