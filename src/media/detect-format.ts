import type { ImageFormat, VideoFormat } from './formats.js';

/** What the first bytes of a file say it is. */
export type Detected = { modality: 'image'; format: ImageFormat } | { modality: 'video'; format: VideoFormat };

/** Bytes from the start of a file that suffice to recognise every format. */
export const HEAD_BYTES = 1024;

const image = (format: ImageFormat): Detected => ({ modality: 'image', format });
const video = (format: VideoFormat): Detected => ({ modality: 'video', format });

const latin1 = (head: Uint8Array, start: number, end: number) =>
  Buffer.from(head.buffer, head.byteOffset, head.byteLength).toString('latin1', start, end);

/** Bytes a format starts with, as Latin-1; a question mark matches any byte. */
const SIGNATURES: readonly (readonly [signature: string, detected: Detected])[] = [
  ['\xff\xd8\xff', image('jpeg')],
  ['\x89PNG\r\n\x1a\n', image('png')],
  ['GIF87a', image('gif')],
  ['GIF89a', image('gif')],
  ['FUJIFILMCCD-RAW', image('raw')],
  ['II*\0????CR', image('raw')],
  ['IIRO', image('raw')],
  ['IIRS', image('raw')],
  ['MMOR', image('raw')],
  ['IIU\0', image('raw')],
  ['II*\0', image('tiff')],
  ['MM\0*', image('tiff')],
  ['II+\0', image('tiff')],
  ['MM\0+', image('tiff')],
  ['RIFF????WEBP', image('webp')],
  ['\xff\x0a', image('jxl')],
  ['\0\0\0\x0cJXL \r\n\x87\n', image('jxl')],
  ['BM????\0\0\0\0', image('bmp')],
  ['RIFF????AVI ', video('avi')],
  ['\0\0\x01\xba', video('mpeg')],
  ['\x30\x26\xb2\x75\x8e\x66\xcf\x11', video('asf')],
  ['FLV\x01', video('flv')],
];

const startsWith = (text: string, signature: string) =>
  [...signature].every((char, position) => char === '?' || char === text[position]);

/**
 * Recognises a file's format by its magic bytes, never by its name or its content type. Of raw files some are TIFF by
 * these; their directories tell (`isRawTiff`).
 *
 * @param head the file's first {@link HEAD_BYTES} bytes, or the whole file when it is shorter
 * @returns undefined for formats that the service does not read
 */
export function detect(head: Uint8Array): Detected | undefined {
  const start = latin1(head, 0, HEAD_BYTES);
  const known = SIGNATURES.find(([signature]) => startsWith(start, signature));
  if (known) return known[1];
  if (start.startsWith(EBML)) return detectEbml(start);
  if (start.startsWith('OggS')) return OGG_VIDEO.some((mark) => start.includes(mark)) ? video('ogg') : undefined;
  return isTransportStream(head) ? video('mpegts') : detectIsoMedia(start);
}

/** How the first page of a video stream in Ogg begins; sound alone is not a video. */
const OGG_VIDEO = ['\x80theora', 'OVP80', 'BBCD\0', '\x01video\0\0\0'];

/** Packets of 188 bytes that begin with "G" (ISO 13818-1); on Blu-ray discs and cameras each after 4 bytes of time. */
function isTransportStream(head: Uint8Array): boolean {
  const isEvery = (start: number, step: number) =>
    [0, 1, 2, 3].every((packet) => head[start + packet * step] === TRANSPORT_SYNC);
  return isEvery(0, 188) || isEvery(4, 192);
}
const TRANSPORT_SYNC = 0x47;

const EBML = '\x1a\x45\xdf\xa3';

/** Matroska and WebM share EBML; the header's DocType element (id 0x4282, length, text) distinguishes them. */
function detectEbml(start: string): Detected | undefined {
  const docType = /\x42\x82[\x84-\x8f]([a-z]+)/.exec(start)?.[1];
  if (docType === 'webm') return video('webm');
  return docType === 'matroska' ? video('mkv') : undefined;
}

const AVIF_BRANDS = /^avi[fs]$/;
const HEIC_BRANDS = /^(hei[cxms]|hev[cxms]|mif1|msf1)$/;
const MP4_BRANDS =
  /^(iso[m1-9a-c]|mp4[12]|mp71|avc1|hvc1|av01|dash|cmf[2cs]|M4[ABPV][ HP]|3g[2egprs].|f4v |MSNV|XAVC)$/;
/** QuickTime files older than the ftyp box start with one of these; some cameras leave room before everything else. */
const MOV_FIRST_BOXES = /^(moov|mdat|wide|pnot|skip|free)$/;

/** MP4, QuickTime, HEIC and AVIF are all ISO base media files; the ftyp box lists the brands they follow. */
function detectIsoMedia(start: string): Detected | undefined {
  const firstBox = start.slice(4, 8);
  if (MOV_FIRST_BOXES.test(firstBox)) return video('mov');
  if (firstBox !== 'ftyp') return undefined;
  const boxBytes = Buffer.from(start.slice(0, 4), 'latin1').readUInt32BE();
  const [major = '', ...compatible] = brandsOf(start.slice(8, boxBytes));
  // The generic major brand (mif1) says only "HEIF"; the codec's brand is among the compatible ones.
  if (HEIC_BRANDS.test(major) || AVIF_BRANDS.test(major))
    return image([major, ...compatible].some((brand) => AVIF_BRANDS.test(brand)) ? 'avif' : 'heic');
  if (major === 'crx ') return image('raw');
  if (major === 'qt  ') return video('mov');
  return [major, ...compatible].some((brand) => MP4_BRANDS.test(brand)) ? video('mp4') : undefined;
}

/** The ftyp payload: major brand, four bytes of version, compatible brands; four letters each. */
function brandsOf(payload: string): string[] {
  const words = payload.match(/.{4}/gs) ?? [];
  return words.filter((_, position) => position !== 1);
}

/** What common refused files start with, so that the error can name them. */
const REFUSED: readonly (readonly [signature: string, name: string])[] = [
  ['%PDF-', 'a PDF document'],
  ['#EXTM3U', 'a playlist'],
  ['ffconcat', 'a playlist'],
  ['PK\x03\x04', 'a ZIP archive or an Office document'],
  ['\x1f\x8b', 'an archive'],
  ['7z\xbc\xaf', 'an archive'],
  ['Rar!', 'an archive'],
  ['BZh', 'an archive'],
  ['\xfd7zXZ', 'an archive'],
  ['\x28\xb5\x2f\xfd', 'an archive'],
  ['\0\0\0\x0cjP  ', 'a JPEG 2000 image'],
  ['\0\0\x01\0', 'an icon file'],
  ['ID3', 'an audio file'],
  ['\xff\xfb', 'an audio file'],
  ['fLaC', 'an audio file'],
  ['RIFF????WAVE', 'an audio file'],
  ['OggS', 'an Ogg file without video'],
];

/**
 * Names what a refused file looks like, for the error message; never used to accept a file.
 *
 * @param head the file's first {@link HEAD_BYTES} bytes
 * @returns a noun phrase: "an SVG drawing"
 */
export function describeRefused(head: Uint8Array): string {
  const start = latin1(head, 0, HEAD_BYTES);
  const known = REFUSED.find(([signature]) => startsWith(start, signature));
  if (known) return known[1];
  if (/<svg[\s>]/i.test(start)) return 'an SVG drawing';
  if (/^\s*<(!DOCTYPE html|html)/i.test(start)) return 'an HTML page';
  return /^[\t\n\r\x20-\x7e\x80-\xff]+$/.test(start) ? 'text' : 'an unknown format';
}
