/**
 * Raw files of cameras are not developed here: the JPEG is shown that the camera has put into each of them, which is what
 * the photographer saw on its screen.
 */
import { brokenMedia } from '../../errors.js';
import { jpegSegments, MARKER } from '../jpeg-segments.js';
import { TAG, tiffDirectories } from './tiff-directories.js';

/** How values of a sensor are said to be: a pattern of colours, or linear. */
const PHOTOMETRIC_OF_SENSOR = [32803, 34892];
/** Compressions that only cameras use: of Nikon, Sony, Samsung, Pentax and Kodak. */
const COMPRESSION_OF_CAMERA = [34713, 32767, 32769, 32770, 65000, 65535];

/** Whether a file that begins like a TIFF holds what a sensor saw, not an image: DNG, NEF, ARW, PEF, SRW and others. */
export function isRawTiff(bytes: Uint8Array): boolean {
  return tiffDirectories(bytes).some(
    ({ tags }) =>
      tags.has(TAG.dngVersion) ||
      PHOTOMETRIC_OF_SENSOR.includes(tags.get(TAG.photometric)?.[0] ?? 0) ||
      COMPRESSION_OF_CAMERA.includes(tags.get(TAG.compression)?.[0] ?? 0),
  );
}

/**
 * The largest JPEG image in a raw file, upright.
 * @throws Problem `broken_media` when there is none
 */
export function rawPreview(bytes: Uint8Array): { format: 'jpeg'; bytes: Uint8Array } {
  const largest = embeddedJpegs(bytes).reduce((best, one) => (one.pixels > best.pixels ? one : best), NO_JPEG);
  if (largest.pixels === 0) throw brokenMedia('The raw file has no preview in JPEG; send the developed photo.');
  const jpeg = bytes.subarray(largest.start, largest.end);
  return { format: 'jpeg', bytes: largest.hasExif ? jpeg : withOrientation(jpeg, orientationOf(bytes)) };
}

/** Boxes of CR3 that hold a TIFF structure each: of the image, of EXIF, of the position. */
const CR3_BOXES = ['CMT1', 'CMT2', 'CMT4'];
/** What makers write in the place of the number of TIFF. */
const MAGIC_OF_MAKERS = /^(II[RU]|MMO)/;
const TIFF_NUMBER = 42;

/** The parts of a raw file that say when and with what it was taken, each as a file that readers of EXIF know. */
export function rawMetadata(bytes: Uint8Array): Uint8Array[] {
  const head = headOf(bytes);
  const boxes = CR3_BOXES.flatMap((name) => {
    const at = head.indexOf(name);
    return at < 4 ? [] : [bytes.subarray(at + 4, at - 4 + head.readUInt32BE(at - 4))];
  });
  if (boxes.length > 0) return boxes;
  const start = head.toString('latin1', 0, 4);
  if (MAGIC_OF_MAKERS.test(start)) {
    const copy = new Uint8Array(bytes);
    copy.set(start.startsWith('II') ? [TIFF_NUMBER, 0] : [0, TIFF_NUMBER], 2);
    return [copy];
  }
  if (/^(II|MM)/.test(start)) return [bytes];
  const exif = head.indexOf('Exif\0\0');
  const jpeg = exif === -1 ? -1 : head.lastIndexOf(START, exif);
  return jpeg === -1 ? [] : [bytes.subarray(jpeg)];
}

/** Where makers put what describes a file. */
const headOf = (bytes: Uint8Array): Buffer =>
  Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.byteLength, 64 * 1024));

interface EmbeddedJpeg {
  /** Place of its first byte. */
  start: number;
  /** Place after its last byte. */
  end: number;
  pixels: number;
  hasExif: boolean;
}
const NO_JPEG: EmbeddedJpeg = { start: 0, end: 0, pixels: 0, hasExif: false };

const START = Buffer.from([0xff, 0xd8, 0xff]);
/** Most places that are looked at. Values of a sensor look like the beginning of a JPEG once in 16 million bytes. */
const MAX_STARTS = 4096;
/** Smaller ones are shown in lists, not as the photo. */
const MIN_SIDE = 120;

/**
 * Every JPEG in a file, wherever it lies: each maker has a place of its own for it, and its own way of saying where that
 * is. Those without loss are what the sensor saw.
 */
function embeddedJpegs(bytes: Uint8Array): EmbeddedJpeg[] {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const found: EmbeddedJpeg[] = [];
  let from = 0;
  for (let tried = 0; tried < MAX_STARTS; tried++) {
    const start = file.indexOf(START, from);
    if (start === -1) break;
    const jpeg = jpegAt(file, start);
    if (jpeg !== undefined) found.push(jpeg);
    from = jpeg?.end ?? start + START.length;
  }
  return found;
}

/** Baseline, extended and progressive, Huffman coded (ITU-T T.81, table B.1). */
const SHOWN_FRAMES = [0xc0, 0xc1, 0xc2];

/** Reads a JPEG's segments up to its pixels. @returns undefined where there is no image that viewers show */
function jpegAt(file: Buffer, start: number): EmbeddedJpeg | undefined {
  let pixels = 0;
  let hasExif = false;
  for (const { marker, at, end } of jpegSegments(file, start)) {
    if (SHOWN_FRAMES.includes(marker)) {
      if (at + 5 > file.length || file[at] !== 8) return undefined;
      const [height, width] = [file.readUInt16BE(at + 1), file.readUInt16BE(at + 3)];
      if (Math.max(width, height) < MIN_SIDE) return undefined;
      pixels = width * height;
    }
    hasExif ||= marker === MARKER.app1 && file.toString('latin1', at, at + 4) === 'Exif';
    if (marker === MARKER.sos) return pixels === 0 ? undefined : { start, end: endOfScans(file, end), pixels, hasExif };
  }
  return undefined;
}

/** The place after the mark that ends an image; the file's end where there is none. */
function endOfScans(file: Buffer, from: number): number {
  const end = file.indexOf(Buffer.from([0xff, MARKER.eoi]), from);
  return end === -1 ? file.length : end + 2;
}

/** The header of the TIFF structure that has the camera's tags: at the beginning, or in a box of CR3. */
function orientationOf(bytes: Uint8Array): number {
  const box = headOf(bytes).indexOf('CMT1');
  const [first] = tiffDirectories(box === -1 ? bytes : bytes.subarray(box + 4));
  const orientation = first?.tags.get(TAG.orientation)?.[0] ?? 1;
  return orientation >= 1 && orientation <= 8 ? orientation : 1;
}

/** A JPEG with an EXIF segment that says how it is turned. */
function withOrientation(jpeg: Uint8Array, orientation: number): Uint8Array {
  if (orientation === 1) return jpeg;
  const tiff = [0x4d, 0x4d, 0, 42, 0, 0, 0, 8, 0, 1, 0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0, 0, 0, 0, 0];
  const exif = [0x45, 0x78, 0x69, 0x66, 0, 0, ...tiff];
  const segment = [0xff, MARKER.app1, 0, exif.length + 2, ...exif];
  return Buffer.concat([jpeg.subarray(0, 2), Buffer.from(segment), jpeg.subarray(2)]);
}
