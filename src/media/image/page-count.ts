import { Problem } from '../../common/errors.js';
import type { ImageFormat } from '../detect-format.js';
import { videoTooLong } from '../errors.js';
import type { MediaLimits } from '../limits.js';

/** The shortest time a frame of an animation is shown. */
export const SHORTEST_DELAY_MS = 20;
/** Scanned documents have hundreds of pages; only the first is looked at. */
const MAX_TIFF_PAGES = 1000;

/**
 * Refuses an image file of too many pictures. Needed before sharp opens it: its WebP and TIFF
 * readers take quadratic time in their number, so that a few megabytes of empty ones would keep
 * them busy for hours, and out of reach of its time limit.
 *
 * @throws Problem video_too_long (GIF, WebP), too_large (TIFF)
 */
export function assertFewPages(bytes: Uint8Array, format: ImageFormat, { maxVideoSeconds }: MediaLimits): void {
  if (format === 'tiff' && countPages(bytes, format, MAX_TIFF_PAGES) > MAX_TIFF_PAGES)
    throw new Problem('too_large', `The TIFF has more than the ${MAX_TIFF_PAGES} pages allowed.`, {
      limit_pages: MAX_TIFF_PAGES,
    });
  // Each frame is shown for a while, so their number alone can tell that an animation is too long.
  const maxFrames = (maxVideoSeconds * 1000) / SHORTEST_DELAY_MS;
  if (format !== 'tiff' && countPages(bytes, format, maxFrames) > maxFrames) throw videoTooLong(maxVideoSeconds);
}

/**
 * How many pictures an image file holds, counted by stepping over them; 1 for formats of one.
 * @param limit counting stops above it
 */
export function countPages(bytes: Uint8Array, format: ImageFormat, limit: number): number {
  const walk = WALKS[format];
  if (walk === undefined) return 1;
  const pictures = walk(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  let count = 0;
  while (count <= limit && !pictures.next().done) count += 1;
  return count;
}

/** Steps from picture to picture; ends where the file does, or where it makes no sense. */
type Walk = (file: Buffer) => Generator<void, void>;

const WALKS: Partial<Record<ImageFormat, Walk>> = { gif: walkGif, webp: walkWebp, tiff: walkTiff };

const IMAGE_BLOCK = 0x2c;
const EXTENSION_BLOCK = 0x21;

/** Blocks of an image (descriptor, palette, data) and of extensions (label, data). */
function* walkGif(file: Buffer): Generator<void, void> {
  let at = 13 + paletteBytes(file[10]);
  for (;;) {
    if (file[at] === IMAGE_BLOCK) {
      yield;
      at = endOfGifData(file, at + 11 + paletteBytes(file[at + 9]));
    } else if (file[at] === EXTENSION_BLOCK) at = endOfGifData(file, at + 2);
    else return;
  }
}

/** A palette's bytes, by the flags before it: there or not, and the power of two of its colours. */
const paletteBytes = (flags = 0) => (flags & 0x80 ? 3 * 2 ** ((flags & 7) + 1) : 0);

/** Data comes in pieces, each behind its length; a length of zero ends it. */
function endOfGifData(file: Buffer, start: number): number {
  let at = start;
  while (file[at]) at += 1 + (file[at] ?? 0);
  return at + 1;
}

/** RIFF chunks: four letters, length, content padded to an even length; a frame is an ANMF chunk. */
function* walkWebp(file: Buffer): Generator<void, void> {
  const isStill = file.toString('latin1', 12, 16) !== 'VP8X';
  if (isStill) yield;
  for (let at = 12; at + 8 <= file.length; ) {
    if (file.toString('latin1', at, at + 4) === 'ANMF') yield;
    const contentBytes = file.readUInt32LE(at + 4);
    at += 8 + contentBytes + (contentBytes % 2);
  }
}

/** Directories, each with the offset of the next behind its entries; a loop never ends, but the limit ends it. */
function* walkTiff(file: Buffer): Generator<void, void> {
  const isLittle = file.toString('latin1', 0, 2) === 'II';
  const isBig = file[isLittle ? 2 : 3] === 43;
  const number = (at: number, size: 2 | 4 | 8) => {
    if (at + size > file.length) return 0;
    if (size === 8) return Number(isLittle ? file.readBigUInt64LE(at) : file.readBigUInt64BE(at));
    return isLittle ? file.readUIntLE(at, size) : file.readUIntBE(at, size);
  };
  const [countSize, entrySize, offsetSize] = isBig ? ([8, 20, 8] as const) : ([2, 12, 4] as const);
  let directory = number(isBig ? 8 : 4, offsetSize);
  while (directory > 0 && directory < file.length) {
    yield;
    const entries = number(directory, countSize);
    directory = number(directory + countSize + entries * entrySize, offsetSize);
  }
}
