/**
 * Files for testing decoders: valid ones of every format, made by the real encoders, and hostile ones, written byte by
 * byte where no encoder would. Deterministic, small, made in a second or two.
 */
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { crc32, deflateSync } from 'node:zlib';
import sharp, { type Sharp } from 'sharp';
import type { ProblemCode } from '../../src/common/errors.js';
import { SENSOR, sensorValues, tiff } from '../archive/raw-file.js';
import { heicFrom } from '../media/image/heic.js';
import { HALVES_JXL } from '../media/image/jxl.js';

export interface CorpusFile {
  name: string;
  bytes: Buffer;
}

/** A hostile file, with the allowed answers. */
export interface HostileFile extends CorpusFile {
  /** Problem codes, and `frames` where a decoded result is allowed. */
  allowed: readonly (ProblemCode | 'frames')[];
}

const IMAGE_SIZE = { width: 96, height: 64 };

/** Small valid files of every format and of the common codecs. */
export async function realFiles(ffmpegPath: string, folder: string): Promise<CorpusFile[]> {
  const video =
    (name: string, ...codec: string[]) =>
    async () => ({
      name,
      bytes: await encode(ffmpegPath, folder, name, 'testsrc=s=96x64:r=10:d=2', ...codec),
    });
  const image = (name: string, make: (image: Sharp) => Sharp) => async () => ({
    name,
    bytes: await make(testImage()).toBuffer(),
  });
  const makers = [
    image('baseline.jpg', (image) => image.jpeg()),
    image('progressive.jpg', (image) => image.jpeg({ progressive: true })),
    image('cmyk.jpg', (image) => image.toColourspace('cmyk').withMetadata({ orientation: 6 }).jpeg()),
    image('plain.png', (image) => image.png()),
    image('interlaced.png', (image) => image.toColourspace('rgb16').png({ progressive: true })),
    image('palette.png', (image) => image.png({ palette: true })),
    image('lossy.webp', (image) => image.webp()),
    image('lossless.webp', (image) => image.ensureAlpha(0.5).webp({ lossless: true })),
    image('plain.avif', (image) => image.avif({ effort: 0 })),
    image('lzw.tiff', (image) => image.tiff({ compression: 'lzw' })),
    image('tiled.tiff', (image) => image.tiff({ compression: 'jpeg', tile: true })),
    async () => ({
      name: 'plain.bmp',
      bytes: await encode(ffmpegPath, folder, 'plain.bmp', 'testsrc=s=96x64:r=10:d=0.1', '-pix_fmt', 'bgr24'),
    }),
    async () => ({
      name: 'palette.bmp',
      bytes: await encode(ffmpegPath, folder, 'palette.bmp', 'testsrc=s=96x64:r=10:d=0.1', '-pix_fmt', 'pal8'),
    }),
    async () => ({ name: 'plain.jxl', bytes: HALVES_JXL }),
    async () => {
      const hevc = ['-frames:v', '1', '-c:v', 'libx265', '-x265-params', 'log-level=0', '-tag:v', 'hvc1'];
      const frame = await encode(ffmpegPath, folder, 'one.mp4', 'testsrc=s=128x96:r=10:d=0.1', ...hevc);
      return { name: 'phone.heic', bytes: heicFrom(frame, 128, 96) };
    },
    async () => {
      const preview = await testImage().resize(240, 160).jpeg().toBuffer();
      return {
        name: 'camera.nef',
        bytes: tiff('II*\0', [[0x112, 3, 6]], SENSOR, preview, sensorValues().subarray(0, 4000)),
      };
    },
    image('still.gif', (image) => image.gif()),
    async () => ({
      name: 'animated.gif',
      bytes: await testAnimation()
        .gif({ delay: [200, 300, 400, 500] })
        .toBuffer(),
    }),
    async () => ({
      name: 'animated.webp',
      bytes: await testAnimation()
        .webp({ delay: [200, 300, 400, 500] })
        .toBuffer(),
    }),
    video('h264.mp4', '-c:v', 'libx264', '-preset', 'ultrafast'),
    video('fragmented.mp4', '-c:v', 'libx264', '-preset', 'ultrafast', '-movflags', 'frag_keyframe+empty_moov'),
    video('hevc.mp4', '-c:v', 'libx265', '-preset', 'ultrafast', '-x265-params', 'log-level=0'),
    video('prores.mov', '-c:v', 'prores'),
    video('animation.mov', '-c:v', 'qtrle'),
    video('vp9.webm', '-c:v', 'libvpx-vp9', '-deadline', 'realtime', '-cpu-used', '8'),
    video('vp8.mkv', '-c:v', 'libvpx', '-deadline', 'realtime'),
    video('av1.mkv', '-c:v', 'libaom-av1', '-usage', 'realtime', '-cpu-used', '8'),
    video('mpeg4.avi', '-c:v', 'mpeg4', '-bf', '2'),
    video('mjpeg.avi', '-c:v', 'mjpeg'),
    video('h264.ts', '-c:v', 'libx264', '-preset', 'ultrafast'),
    video('mpeg2.mpg', '-c:v', 'mpeg2video', '-r', '25'),
    video('wmv2.wmv', '-c:v', 'wmv2'),
    video('flv1.flv', '-c:v', 'flv'),
    video('theora.ogv', '-c:v', 'libtheora'),
  ];
  return Promise.all(makers.map((make) => make()));
}

const gradient = (width: number, height: number) =>
  Buffer.from(Array.from({ length: width * height * 3 }, (_, i) => (i * 7 + Math.floor(i / width) * 3) % 256));

const testImage = () => sharp(gradient(IMAGE_SIZE.width, IMAGE_SIZE.height), { raw: { ...IMAGE_SIZE, channels: 3 } });

const testAnimation = () =>
  sharp(gradient(48, 4 * 32), { raw: { width: 48, height: 4 * 32, channels: 3, pageHeight: 32 } });

/** Encodes a generated source with ffmpeg; `args` are filters and codecs. */
async function encode(ffmpegPath: string, folder: string, name: string, source: string, ...args: string[]) {
  const file = path.join(folder, name);
  const quiet = ['-nostdin', '-loglevel', 'error', '-y'];
  await promisify(execFile)(ffmpegPath, [...quiet, '-f', 'lavfi', '-i', source, ...args, file]);
  return readFile(file);
}

/**
 * Attacks on decoders: by size, by duration, by references to other files, by being two formats at once.
 *
 * @param canaryUrl an address that files refer to and that must never be requested
 */
export async function hostileFiles(ffmpegPath: string, folder: string, canaryUrl: string): Promise<HostileFile[]> {
  return [
    ...(await bombs(ffmpegPath, folder)),
    ...(await references(ffmpegPath, folder, canaryUrl)),
    ...(await polyglots()),
    ...nothingToDecode(),
  ];
}

/** Small files that make a decoder use much memory or time. */
async function bombs(ffmpegPath: string, folder: string): Promise<HostileFile[]> {
  const video = (name: string, source: string, ...args: string[]) => encode(ffmpegPath, folder, name, source, ...args);
  const [smallH264, largeH264] = [
    await video('small.h264', 'color=red:s=64x64:r=10:d=1'),
    await video('large.h264', 'color=red:s=4096x2304:r=10:d=0.3', '-preset', 'ultrafast'),
  ];
  const jpeg = await sharp(gradient(16, 16), { raw: { width: 16, height: 16, channels: 3 } })
    .jpeg()
    .toBuffer();
  const avif = await testImage().avif({ effort: 0 }).toBuffer();
  const webp = await sharp(gradient(16, 16), { raw: { width: 16, height: 16, channels: 3 } })
    .ensureAlpha(0.5)
    .webp()
    .toBuffer();
  return [
    { name: '100,000 x 100,000 PNG', bytes: png(100_000, 100_000), allowed: ['too_many_pixels'] },
    { name: 'PNG of 2^31 x 2^31', bytes: png(0x7fffffff, 0x7fffffff), allowed: ['too_many_pixels', 'broken_media'] },
    {
      name: 'PNG with a 100 MB colour profile',
      bytes: png(16, 16, pngChunk('iCCP', Buffer.from('x\0\0'), deflateSync(Buffer.alloc(100_000_000)))),
      allowed: ['frames', 'broken_media'],
    },
    {
      name: 'PNG with 100 MB of text',
      bytes: png(16, 16, pngChunk('zTXt', Buffer.from('x\0\0'), deflateSync(Buffer.alloc(100_000_000)))),
      allowed: ['frames', 'broken_media'],
    },
    { name: 'JPEG that says 65,500 x 65,500', bytes: claimJpegSize(jpeg, 65_500), allowed: ['too_many_pixels'] },
    { name: 'JPEG of a thousand scans', bytes: await manyScans(), allowed: ['broken_media', 'decode_timeout'] },
    {
      name: 'AVIF that says 60,000 x 60,000',
      bytes: claimAvifSize(avif, 60_000),
      allowed: ['too_many_pixels', 'broken_media'],
    },
    {
      name: 'WebP canvas of 16 million pixels a side',
      bytes: claimWebpSize(webp),
      allowed: ['too_many_pixels', 'broken_media'],
    },
    { name: 'GIF of 60,000 x 60,000', bytes: gif(1, 60_000, 10, 60_000), allowed: ['too_many_pixels'] },
    { name: 'GIF of 1,000 frames of 100 x 100', bytes: gif(1000, 100), allowed: ['too_many_pixels'] },
    { name: 'GIF of 100,000 frames', bytes: gif(100_000, 1), allowed: ['video_too_long'] },
    { name: 'GIF of 2,900 short frames', bytes: gif(2900, 1, 2), allowed: ['frames'] },
    { name: 'WebP of 100,000 frames', bytes: await manyFramedWebp(100_000), allowed: ['video_too_long'] },
    { name: 'TIFF of 100,000 pages', bytes: manyPagedTiff(100_000), allowed: ['too_large'] },
    { name: 'TIFF whose pages form a loop', bytes: manyPagedTiff(2, 8), allowed: ['too_large'] },
    {
      name: '10-hour MP4 of a frame a second',
      bytes: await video('hours.mp4', 'color=red:s=16x16:r=1:d=36000', '-c:v', 'mpeg4'),
      allowed: ['video_too_long'],
    },
    {
      name: 'MKV whose time jumps by a day',
      bytes: await video(
        'jump.mkv',
        'color=red:s=16x16:r=10:d=1',
        '-vf',
        "setpts='PTS+gt(N,5)*86400/TB'",
        '-fps_mode',
        'vfr',
      ),
      allowed: ['video_too_long', 'frames'],
    },
    {
      name: 'MP4 of a thousand frames a second',
      bytes: await video('fast.mp4', 'color=red:s=16x16:r=1000:d=20', '-c:v', 'mpeg4'),
      allowed: ['frames'],
    },
    {
      name: 'AVI whose frames grow to 4096 x 2304',
      bytes: await grownVideo(ffmpegPath, folder, smallH264, largeH264),
      allowed: ['frames'],
    },
    {
      name: 'MKV of a hundred video streams',
      bytes: await video(
        'many.mkv',
        'color=red:s=16x16:r=10:d=0.5',
        ...Array(100).fill(['-map', '0']).flat(),
        '-c:v',
        'mpeg4',
      ),
      allowed: ['frames', 'broken_media'],
    },
  ];
}

/** Files that refer to other files or addresses. */
async function references(ffmpegPath: string, folder: string, canaryUrl: string): Promise<HostileFile[]> {
  const mov = await encode(ffmpegPath, folder, 'original.mov', 'color=red:s=64x64:r=10:d=1', '-c:v', 'mjpeg');
  const playlist = `#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:10.0,\n${canaryUrl}\n#EXT-X-ENDLIST\n`;
  const text = (name: string, content: string): HostileFile => ({
    name,
    bytes: Buffer.from(content),
    allowed: ['unsupported_media'],
  });
  return [
    text('HLS playlist of an address', playlist),
    text('HLS playlist of a local file', playlist.replace(canaryUrl, 'file:///etc/passwd')),
    text('concat list of a local file', "ffconcat version 1.0\nfile '/etc/passwd'\n"),
    text('concat list of an address', `ffconcat version 1.0\nfile '${canaryUrl}'\n`),
    text(
      'DASH manifest',
      `<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>${canaryUrl}</BaseURL></MPD>`,
    ),
    text('SDP session', `v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n`),
    text(
      'SVG with an external image',
      `<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"><image href="${canaryUrl}" width="64" height="64"/></svg>`,
    ),
    text(
      'SVG with an external entity',
      `<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY x SYSTEM "${canaryUrl}">]><svg xmlns="http://www.w3.org/2000/svg"><text>&x;</text></svg>`,
    ),
    text('ImageMagick script', `push graphic-context\nfill 'url(${canaryUrl})'\npop graphic-context\n`),
    {
      name: 'MOV whose video is in another file',
      bytes: withExternalTrack(mov, path.join(folder, 'original.mov')),
      allowed: ['broken_media'],
    },
    { name: 'AVI with a playlist for subtitles', bytes: aviWithSubtitles(playlist), allowed: ['broken_media'] },
  ];
}

/** Files that different decoders read as different formats. */
async function polyglots(): Promise<HostileFile[]> {
  const still = await testImage().png().toBuffer();
  const svg = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"/>');
  const zip = Buffer.from('PK\x03\x04');
  const startingWith = (magic: string, rest: Buffer) => Buffer.concat([Buffer.from(magic, 'latin1'), rest]);
  return [
    { name: 'GIF magic, SVG content', bytes: startingWith('GIF89a', svg), allowed: ['broken_media'] },
    { name: 'JPEG magic, PNG content', bytes: startingWith('\xff\xd8\xff', still), allowed: ['broken_media'] },
    { name: 'TIFF magic, playlist', bytes: startingWith('II*\0', Buffer.from('#EXTM3U')), allowed: ['broken_media'] },
    {
      name: 'EBML magic, playlist',
      bytes: startingWith('\x1a\x45\xdf\xa3\x42\x82\x84webm', Buffer.from('\n#EXTM3U')),
      allowed: ['broken_media'],
    },
    {
      name: 'MP4 magic, playlist',
      bytes: startingWith('\0\0\0\x10ftypisom\0\0\0\0', Buffer.from('#EXTM3U')),
      allowed: ['broken_media'],
    },
    {
      name: 'AVI magic, WebP content',
      bytes: startingWith('RIFF\0\0\0\0AVI ', await testImage().webp().toBuffer()),
      allowed: ['broken_media'],
    },
    {
      name: 'PNG, then a ZIP archive',
      bytes: Buffer.concat([still, zip, Buffer.alloc(5000)]),
      allowed: ['frames', 'broken_media'],
    },
    {
      name: 'PNG, then a web page',
      bytes: Buffer.concat([still, Buffer.from('<script>alert(1)</script>')]),
      allowed: ['frames', 'broken_media'],
    },
    {
      name: 'GIF that is also JavaScript',
      bytes: Buffer.from('GIF89a/*\0\0\0\0\0*/=1;alert(1)'),
      allowed: ['broken_media'],
    },
  ];
}

/** The first bytes of every format, followed by nothing or noise. */
function nothingToDecode(): HostileFile[] {
  const magics = {
    jpeg: '\xff\xd8\xff\xe0',
    png: '\x89PNG\r\n\x1a\n',
    gif: 'GIF89a',
    webp: 'RIFF\x10\0\0\0WEBPVP8 ',
    tiff: 'MM\0*\0\0\0\x08',
    avif: '\0\0\0\x10ftypavif\0\0\0\0',
    heic: '\0\0\0\x10ftypheic\0\0\0\0',
    mp4: '\0\0\0\x10ftypisom\0\0\0\0',
    mov: '\0\0\0\x08moov',
    webm: '\x1a\x45\xdf\xa3\x9f\x42\x82\x84webm',
    avi: 'RIFF\x10\0\0\0AVI LIST',
  };
  const noise = Buffer.from(Array.from({ length: 3000 }, (_, i) => (i * i * 31 + i * 17) % 251));
  return Object.entries(magics)
    .flatMap(([name, magic]): HostileFile[] => [
      {
        name: `${name} that ends after its magic bytes`,
        bytes: Buffer.from(magic, 'latin1'),
        allowed: ['broken_media'],
      },
      {
        name: `${name} of noise`,
        bytes: Buffer.concat([Buffer.from(magic, 'latin1'), noise]),
        allowed: ['broken_media'],
      },
    ])
    .concat({ name: 'an empty file', bytes: Buffer.alloc(0), allowed: ['empty_body'] });
}

const u16le = (value: number) => Buffer.from([value & 255, value >> 8]);
function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
function u32le(value: number): Buffer {
  return u32(value).reverse();
}

function pngChunk(type: string, ...content: Buffer[]): Buffer {
  const typed = Buffer.concat([Buffer.from(type), ...content]);
  return Buffer.concat([u32(typed.length - 4), typed, u32(crc32(typed))]);
}

/** A grey PNG that contains only a megabyte of rows. */
function png(width: number, height: number, ...chunks: Buffer[]): Buffer {
  const header = pngChunk('IHDR', u32(width), u32(height), Buffer.from([8, 0, 0, 0, 0]));
  const rows = deflateSync(Buffer.alloc(Math.min((width + 1) * height, 1_000_000)));
  const signature = Buffer.from('\x89PNG\r\n\x1a\n', 'latin1');
  return Buffer.concat([signature, header, ...chunks, pngChunk('IDAT', rows), pngChunk('IEND')]);
}

/** A GIF of `frames` frames of `frameSide`, each with the data of one pixel, on a canvas of `side x side`. */
function gif(frames: number, side: number, delayHundredths = 10, frameSide = 1): Buffer {
  const screen = Buffer.concat([Buffer.from('GIF89a'), u16le(side), u16le(side), Buffer.from([0x80, 0, 0])]);
  const palette = Buffer.from([0, 0, 0, 255, 255, 255]);
  const control = Buffer.concat([Buffer.from([0x21, 0xf9, 4, 0]), u16le(delayHundredths), Buffer.from([0, 0])]);
  const descriptor = [Buffer.from([0x2c, 0, 0, 0, 0]), u16le(frameSide), u16le(frameSide), Buffer.from([0])];
  const pixel = Buffer.from([2, 2, 0x44, 0x01, 0]);
  const frame = Buffer.concat([control, ...descriptor, pixel]);
  return Buffer.concat([screen, palette, ...Array<Buffer>(frames).fill(frame), Buffer.from(';')]);
}

/** An animated WebP that repeats one pixel `frames` times. */
async function manyFramedWebp(frames: number): Promise<Buffer> {
  const pixel = await sharp({ create: { width: 1, height: 1, channels: 3, background: 'red' } })
    .webp()
    .toBuffer();
  const positionAndDelay = Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 100, 0, 0, 0]);
  const frame = riff('ANMF', positionAndDelay, pixel.subarray(12));
  const isAnimated = Buffer.from([2, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
  const header = [Buffer.from('WEBP'), riff('VP8X', isAnimated), riff('ANIM', Buffer.alloc(6))];
  return riff('RIFF', ...header, ...Array<Buffer>(frames).fill(frame));
}

/** A TIFF that repeats one grey pixel `pages` times; the last page's next offset is `afterLast`. */
function manyPagedTiff(pages: number, afterLast = 0): Buffer {
  const [short, long] = [3, 4];
  const tags = [
    ...[
      [256, short, 1],
      [257, short, 1],
      [258, short, 8],
      [259, short, 1],
      [262, short, 1],
    ],
    ...[
      [273, long, 8],
      [277, short, 1],
      [278, short, 1],
      [279, long, 1],
    ],
  ];
  const entries = tags.map(([tag = 0, type = 0, value = 0]) =>
    Buffer.concat([u16le(tag), u16le(type), u32le(1), u32le(value)]),
  );
  const pageBytes = 2 + 12 * entries.length + 4;
  const page = (number: number) => [
    ...[u16le(entries.length), ...entries],
    u32le(number === pages - 1 ? afterLast : 8 + (number + 1) * pageBytes),
  ];
  const all = Array.from({ length: pages }, (_, number) => Buffer.concat(page(number)));
  return Buffer.concat([Buffer.from('II*\0'), u32le(8), ...all]);
}

/** Overwrites the size in the frame header (SOF0). */
function claimJpegSize(jpeg: Buffer, side: number): Buffer {
  const bytes = Buffer.from(jpeg);
  const header = bytes.indexOf(Buffer.from([0xff, 0xc0])) + 5;
  bytes.writeUInt16BE(side, header);
  bytes.writeUInt16BE(side, header + 2);
  return bytes;
}

/** Overwrites the size in the image's spatial extents box. */
function claimAvifSize(avif: Buffer, side: number): Buffer {
  const bytes = Buffer.from(avif);
  const extents = bytes.indexOf('ispe') + 8;
  bytes.writeUInt32BE(side, extents);
  bytes.writeUInt32BE(side, extents + 4);
  return bytes;
}

/** Overwrites the canvas size in the extended header: 24 bits a side. */
function claimWebpSize(webp: Buffer): Buffer {
  const bytes = Buffer.from(webp);
  bytes.fill(0xff, bytes.indexOf('VP8X') + 12, bytes.indexOf('VP8X') + 18);
  return bytes;
}

/** A progressive JPEG that repeats its last scan; each costs a pass over the whole image. */
async function manyScans(): Promise<Buffer> {
  const side = 1500;
  const image = sharp(gradient(side, side), { raw: { width: side, height: side, channels: 3 } });
  const bytes = await image.jpeg({ progressive: true }).toBuffer();
  const lastScan = bytes.subarray(bytes.lastIndexOf(Buffer.from([0xff, 0xda])), -2);
  const end = bytes.subarray(-2);
  return Buffer.concat([bytes.subarray(0, -2), ...Array<Buffer>(1000).fill(lastScan.subarray(0, 200)), end]);
}

/** Two videos of different sizes as one stream, which a header that announces the first size conceals. */
async function grownVideo(ffmpegPath: string, folder: string, small: Buffer, large: Buffer): Promise<Buffer> {
  const joined = path.join(folder, 'joined.h264');
  await writeFile(joined, Buffer.concat([small, large]));
  const file = path.join(folder, 'grown.avi');
  const args = ['-nostdin', '-loglevel', 'error', '-y', '-r', '10', '-f', 'h264', '-i', joined, '-c', 'copy', file];
  await promisify(execFile)(ffmpegPath, args);
  return readFile(file);
}

/**
 * A MOV's index without its data: the data reference is an alias record, which QuickTime follows to another file.
 */
function withExternalTrack(mov: Buffer, externalPath: string): Buffer {
  const references = mov.indexOf('dref') - 4;
  const oldSize = mov.readUInt32BE(references);
  const alias = Buffer.concat([Buffer.from('alis'), u32(0), aliasRecord(externalPath)]);
  const box = Buffer.concat([u32(0), Buffer.from('dref'), u32(0), u32(1), u32(alias.length + 4), alias]);
  box.writeUInt32BE(box.length);
  const bytes = Buffer.concat([mov.subarray(0, references), box, mov.subarray(references + oldSize)]);
  for (const parent of ['dinf', 'minf', 'mdia', 'trak', 'moov']) {
    // Another box name may occur in the data handler; the last box of a type is the track's.
    const size = bytes.lastIndexOf(parent) - 4;
    bytes.writeUInt32BE(bytes.readUInt32BE(size) + box.length - oldSize, size);
  }
  const mdat = bytes.indexOf('mdat');
  bytes.fill(0, mdat + 4, mdat - 4 + bytes.readUInt32BE(mdat - 4));
  return bytes;
}

/** A Macintosh alias record of version 2 with only the fields that readers use: levels and the absolute path. */
function aliasRecord(externalPath: string): Buffer {
  const name = Buffer.alloc(64);
  name.writeUInt8(path.basename(externalPath).length);
  name.write(path.basename(externalPath), 1);
  const pathBytes = Buffer.from(externalPath.length % 2 ? `${externalPath}\0` : externalPath);
  const absolutePath = Buffer.concat([Buffer.from([0, 2, pathBytes.length >> 8, pathBytes.length & 255]), pathBytes]);
  const levels = Buffer.from([0, 1, 0, 1]);
  const end = Buffer.from([255, 255, 0, 0]);
  return Buffer.concat([
    ...[Buffer.alloc(10), Buffer.alloc(28), Buffer.alloc(12), name, Buffer.alloc(16)],
    ...[levels, Buffer.alloc(16), absolutePath, end],
  ]);
}

/** A RIFF chunk: four letters, length, content, padded to an even length. */
function riff(type: string, ...content: Buffer[]): Buffer {
  const payload = Buffer.concat(content);
  return Buffer.concat([Buffer.from(type), u32le(payload.length), payload, Buffer.alloc(payload.length % 2)]);
}

/** An AVI with only a subtitle stream, whose format readers guess from its content. */
function aviWithSubtitles(subtitles: string): Buffer {
  const mainHeader = Buffer.alloc(56);
  mainHeader.writeUInt32LE(1, 24);
  const streamHeader = Buffer.alloc(56);
  streamHeader.write('txts');
  streamHeader.writeUInt32LE(1, 20);
  streamHeader.writeUInt32LE(1, 24);
  const content = Buffer.from(subtitles);
  const packet = [Buffer.from('GAB2\0'), u16le(2), u32le(2), Buffer.alloc(2), u16le(4), u32le(content.length), content];
  const streams = riff('LIST', Buffer.from('strl'), riff('strh', streamHeader), riff('strf', Buffer.alloc(4)));
  const header = riff('LIST', Buffer.from('hdrl'), riff('avih', mainHeader), streams);
  return riff('RIFF', Buffer.from('AVI '), header, riff('LIST', Buffer.from('movi'), riff('00tx', ...packet)));
}
