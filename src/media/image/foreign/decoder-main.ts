/**
 * Decodes the images that sharp does not, in a process of its own, which may die and takes its memory with it: HEIC of HEVC
 * by libheif and JPEG XL by libjxl, both compiled to WebAssembly, and BMP.
 */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { setPriority } from 'node:os';
import { SLOW_WORK_NICENESS } from '../../../lib/async/niceness.js';
import type { Frame } from '../../frame.js';
import { fitToShape } from '../fit.js';
import { sharp } from '../sharp.js';
import type { Answer, ForeignFormat, Task } from './protocol.js';

/** Four bytes a pixel, upright. */
interface Decoded {
  width: number;
  height: number;
  rgba: Uint8Array;
}

/** A decoder refuses sizes over the limit before it allocates them. */
class TooManyPixels extends Error {
  constructor(readonly pixels: number) {
    super('too many pixels');
  }
}

type Decoder = (bytes: Uint8Array, maxPixels: number) => Promise<Decoded>;

const require = createRequire(import.meta.url);

function assertFew(width: number, height: number, maxPixels: number): void {
  if (width * height > maxPixels) throw new TooManyPixels(width * height);
}

/** What the decoder of libheif-js offers; its own types describe only the functions of C. */
interface HeifImage {
  get_width(): number;
  get_height(): number;
  is_primary(): boolean;
  display(
    target: { data: Uint8ClampedArray; width: number; height: number },
    done: (filled: object | null) => void,
  ): void;
  free(): void;
}
interface LibHeif {
  HeifDecoder: new () => { decode(bytes: Uint8Array): HeifImage[] };
}

/** One for all files: it gives back a file's memory when the next one comes. */
let heifDecoder: InstanceType<LibHeif['HeifDecoder']> | undefined;

async function decodeHeic(bytes: Uint8Array, maxPixels: number): Promise<Decoded> {
  const { HeifDecoder } = require('libheif-js/wasm-bundle') as LibHeif;
  heifDecoder ??= new HeifDecoder();
  const images = heifDecoder.decode(bytes);
  try {
    const image = images.find((one) => one.is_primary()) ?? images[0];
    if (image === undefined) throw new Error('no image in the file');
    const [width, height] = [image.get_width(), image.get_height()];
    assertFew(width, height, maxPixels);
    const rgba = new Uint8ClampedArray(width * height * 4);
    await new Promise<void>((resolve, reject) =>
      image.display({ data: rgba, width, height }, (filled) =>
        filled === null ? reject(new Error('the image cannot be decoded')) : resolve(),
      ),
    );
    return { width, height, rgba: new Uint8Array(rgba.buffer) };
  } finally {
    for (const image of images) image.free();
  }
}

/** The decoder makes an ImageData of what it has decoded, as browsers have it. */
class ImageData {
  constructor(
    readonly data: Uint8ClampedArray,
    readonly width: number,
    readonly height: number,
  ) {}
}

let jxl: ((bytes: ArrayBuffer) => Promise<ImageData>) | undefined;

async function decodeJxl(bytes: Uint8Array, maxPixels: number): Promise<Decoded> {
  if (jxl === undefined) {
    Object.assign(globalThis, { ImageData });
    const { default: decode, init } = await import('@jsquash/jxl/decode.js');
    // In Node the module cannot fetch its own file.
    const wasm = await readFile(require.resolve('@jsquash/jxl/codec/dec/jxl_dec.wasm'));
    await init(await WebAssembly.compile(wasm));
    jxl = decode as unknown as typeof jxl;
  }
  const copy = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer;
  const image = await (jxl as NonNullable<typeof jxl>)(copy);
  const { width, height, data } = image;
  assertFew(width, height, maxPixels);
  return { width, height, rgba: new Uint8Array(data.buffer, data.byteOffset, data.byteLength) };
}

async function decodeBmp(bytes: Uint8Array, maxPixels: number): Promise<Decoded> {
  const { decode } = await import('bmp-ts');
  const { width, height, data } = decode(Buffer.from(bytes));
  assertFew(width, height, maxPixels);
  const rgba = new Uint8Array(data.length);
  // Each pixel is ABGR; the option that turns them does so for some depths only.
  for (let i = 0; i < data.length; i += 4) {
    rgba[i] = data[i + 3] as number;
    rgba[i + 1] = data[i + 2] as number;
    rgba[i + 2] = data[i + 1] as number;
    // Viewers take every pixel as opaque: in most files the first byte is nothing.
    rgba[i + 3] = 255;
  }
  return { width, height, rgba };
}

const DECODERS: Record<ForeignFormat, Decoder> = { heic: decodeHeic, jxl: decodeJxl, bmp: decodeBmp };

async function frameOf({ format, bytes, shape, maxPixels }: Task): Promise<Frame> {
  const decoded = await DECODERS[format](bytes, maxPixels);
  const size = fitToShape(decoded.width, decoded.height, shape);
  const raw = { width: decoded.width, height: decoded.height, channels: 4 } as const;
  const rgb = await sharp(decoded.rgba, { raw, limitInputPixels: maxPixels })
    .resize(size.width, size.height, { fit: 'fill' })
    .flatten({ background: 'white' })
    .raw()
    .toBuffer();
  return { ...size, timeSeconds: 0, rgb };
}

async function answer(task: Task): Promise<Answer> {
  const { id } = task;
  try {
    return { id, frame: await frameOf(task) };
  } catch (error) {
    if (error instanceof TooManyPixels) return { id, pixels: error.pixels };
    // A decoder that has aborted cannot be used again.
    const isFatal = error instanceof WebAssembly.RuntimeError;
    return { id, error: error instanceof Error ? error.message : String(error), isFatal };
  }
}

setPriority(SLOW_WORK_NICENESS);
process.on('message', async (task: Task) => process.send?.(await answer(task)));
// The service has ended.
process.on('disconnect', () => process.exit(0));
