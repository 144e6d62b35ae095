import { Problem } from '../../common/errors.js';
import { videoTooLong } from '../errors.js';
import { IMAGE_FORMATS, type ImageFormat, type PagedFormat } from '../formats.js';
import type { MediaLimits } from '../limits.js';

/** The shortest time a frame of an animation is shown, in milliseconds. */
export const SHORTEST_DELAY_MS = 20;
/** Scanned documents have hundreds of pages, of which only the first is decoded. */
const MAX_DOCUMENT_PAGES = 1000;

/**
 * Refuses an image file of too many pages before sharp opens it. libvips' WebP and TIFF loaders take quadratic time in
 * the number of pages: a few megabytes of empty pages would keep them busy for hours, beyond sharp's time limit.
 *
 * @throws Problem `video_too_long` (animations), `too_large` (documents)
 */
export function assertFewPages(bytes: Uint8Array, format: ImageFormat, { maxVideoSeconds }: MediaLimits): void {
  const { label, pages } = IMAGE_FORMATS[format];
  if (pages === 'document') {
    if (countPages(bytes, format, MAX_DOCUMENT_PAGES) <= MAX_DOCUMENT_PAGES) return;
    const detail = `The ${label} has more than the ${MAX_DOCUMENT_PAGES} pages allowed; send fewer pages.`;
    throw new Problem('too_large', detail, { limit_pages: MAX_DOCUMENT_PAGES });
  }
  // Every frame has a minimum duration, so the number of frames alone can exceed the longest video.
  const maxFrames = (maxVideoSeconds * 1000) / SHORTEST_DELAY_MS;
  if (countPages(bytes, format, maxFrames) > maxFrames) throw videoTooLong(maxVideoSeconds);
}

/**
 * Counts the pages of an image file (frames of an animation, pages of a document) without decoding them.
 *
 * @param limit counting stops above it
 * @returns at most `limit + 1`; 1 for formats without pages
 */
export function countPages(bytes: Uint8Array, format: ImageFormat, limit: number): number {
  const scan = SCANNERS[format];
  if (scan === undefined) return 1;
  const pages = scan(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  let count = 0;
  while (count <= limit && !pages.next().done) count += 1;
  return count;
}

/** Yields once a page, until the file ends or is malformed. */
type PageScanner = (file: Buffer) => Generator<void, void>;

const SCANNERS: Partial<Record<ImageFormat, PageScanner>> = {
  gif: scanGif,
  webp: scanWebp,
  tiff: scanTiff,
} satisfies Record<PagedFormat, PageScanner>;

const IMAGE_BLOCK = 0x2c;
const EXTENSION_BLOCK = 0x21;

/**
 * Blocks of an image (descriptor, palette, data) and of extensions (label, data).
 * Source: Graphics Interchange Format, version 89a.
 */
function* scanGif(file: Buffer): Generator<void, void> {
  let at = 13 + paletteBytes(file[10]);
  for (;;) {
    if (file[at] === IMAGE_BLOCK) {
      yield;
      at = endOfGifData(file, at + 11 + paletteBytes(file[at + 9]));
    } else if (file[at] === EXTENSION_BLOCK) at = endOfGifData(file, at + 2);
    else return;
  }
}

/** Bytes of a palette, by the flags before it: whether it exists, and the power of two of its colours. */
const paletteBytes = (flags = 0) => (flags & 0x80 ? 3 * 2 ** ((flags & 7) + 1) : 0);

/** Data is a sequence of sub-blocks, each after its length; a length of zero ends it. */
function endOfGifData(file: Buffer, start: number): number {
  let at = start;
  while (file[at]) at += 1 + (file[at] ?? 0);
  return at + 1;
}

/**
 * RIFF chunks: four letters, length, content padded to an even length; a frame is an ANMF chunk.
 * Source: RFC 9649.
 */
function* scanWebp(file: Buffer): Generator<void, void> {
  const isStill = file.toString('latin1', 12, 16) !== 'VP8X';
  if (isStill) yield;
  for (let at = 12; at + 8 <= file.length; ) {
    if (file.toString('latin1', at, at + 4) === 'ANMF') yield;
    const contentBytes = file.readUInt32LE(at + 4);
    at += 8 + contentBytes + (contentBytes % 2);
  }
}

/**
 * Image file directories, each with the offset of the next after its entries. Only the caller's limit ends a loop of
 * directories. Sources: TIFF 6.0; BigTIFF.
 */
function* scanTiff(file: Buffer): Generator<void, void> {
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
