/** Thirty queries and the photographs that come first, right or wrong: what the tables look like. */
import sharp from 'sharp';
import { random } from '../random.mjs';
import { nearest } from './ranks.mjs';

const QUERIES = 30;
const SHOWN = 5;
const SIDE = 96;
const TEXT_WIDTH = 360;
const RIGHT = '#1a7f37';
const OTHER = '#d0d7de';

/**
 * @param file a PNG to write
 * @param galleries packs with `photos` and their `vectors`; those with captions are asked
 * @param embed texts -> vectors
 */
export async function writeContactSheet(file, galleries, embed) {
  const pick = random(5);
  const captioned = galleries.filter(({ photos }) => photos.some(({ captions }) => captions.length > 0));
  const rows = [];
  for (let i = 0; i < QUERIES; i++) {
    const { photos, vectors } = captioned[i % captioned.length];
    const having = photos.flatMap(({ captions }, place) => (captions.length > 0 ? [place] : []));
    const right = having[Math.floor(pick() * having.length)];
    const { captions } = photos[right];
    const query = captions[Math.floor(pick() * captions.length)];
    const [vector] = await embed([query]);
    const found = nearest(vector, vectors, SHOWN);
    rows.push({ query, shown: found.map((place) => ({ bytes: photos[place].bytes, isRight: place === right })) });
  }
  const tiles = [];
  for (const [row, { query, shown }] of rows.entries()) {
    tiles.push({ input: Buffer.from(caption(query)), left: 0, top: row * SIDE });
    for (const [column, { bytes, isRight }] of shown.entries()) {
      const photo = await sharp(bytes)
        .resize(SIDE - 8, SIDE - 8, { fit: 'cover' })
        .toBuffer();
      const framed = sharp({ create: { width: SIDE, height: SIDE, channels: 3, background: isRight ? RIGHT : OTHER } });
      const input = await framed
        .composite([{ input: photo, left: 4, top: 4 }])
        .png()
        .toBuffer();
      tiles.push({ input, left: TEXT_WIDTH + column * SIDE, top: row * SIDE });
    }
  }
  const size = { width: TEXT_WIDTH + SHOWN * SIDE, height: rows.length * SIDE };
  await sharp({ create: { ...size, channels: 3, background: '#fff' } })
    .composite(tiles)
    .png({ palette: true })
    .toFile(file);
}

/** A query as a picture, its words broken into lines. */
function caption(query) {
  const lines = [''];
  for (const word of query.split(' ')) {
    if (`${lines.at(-1)} ${word}`.length > 48) lines.push('');
    lines[lines.length - 1] = `${lines.at(-1)} ${word}`.trim();
  }
  const escaped = lines.slice(0, 5).map((line) => line.replace(/[<&]/g, (one) => (one === '<' ? '&lt;' : '&amp;')));
  const text = escaped.map(
    (line, i) => `<text x="8" y="${24 + 17 * i}" font-family="sans-serif" font-size="13">${line}</text>`,
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${TEXT_WIDTH}" height="${SIDE}">${text.join('')}</svg>`;
}
