import sharp, { type Sharp } from 'sharp';
import { describe, expect, it } from 'vitest';
import { codeOf, colourAt, decodeBytes, limits, problemOf, sides, useFolder } from '../support.js';

const RED = { r: 255, g: 0, b: 0 };
const solid = (width: number, height: number, background: { r: number; g: number; b: number; alpha?: number } = RED) =>
  sharp({ create: { width, height, channels: 4, background } });

/** Left half red, right half blue; 120 x 90. */
const halves = (): Sharp =>
  solid(120, 90)
    .composite([{ input: { create: { width: 60, height: 90, channels: 3, background: 'blue' } }, left: 60, top: 0 }])
    .removeAlpha();
const UPRIGHT = { left: 'red', right: 'blue' };

describe('images', () => {
  const folder = useFolder();
  const decode = async (bytes: Uint8Array) => {
    const { modality, frames } = await decodeBytes(bytes, folder.path);
    expect(modality).toBe('image');
    expect(frames).toHaveLength(1);
    return frames[0];
  };

  it.each(['jpeg', 'png', 'webp', 'avif', 'gif', 'tiff'] as const)('decodes %s', async (format) => {
    const frame = await decode(await halves().toFormat(format).toBuffer());
    expect(frame).toMatchObject({ width: 64, height: 48, timeSeconds: 0 });
    expect(frame?.rgb).toHaveLength(64 * 48 * 3);
    expect(sides(frame)).toMatchObject(UPRIGHT);
  });

  it.each([
    ['16-bit PNG', () => halves().toColourspace('rgb16').png()],
    ['palette PNG', () => halves().png({ palette: true })],
    ['Display P3 JPEG', () => halves().withIccProfile('p3').jpeg()],
    ['progressive JPEG', () => halves().jpeg({ progressive: true })],
    ['floating-point TIFF', () => halves().toColourspace('scrgb').tiff({ predictor: 'none' })],
  ])('converts a %s to sRGB', async (_, make) => {
    expect(sides(await decode(await make().toBuffer()))).toMatchObject(UPRIGHT);
  });

  it.each(['jpeg', 'tiff'] as const)('converts a CMYK %s to sRGB', async (format) => {
    const bytes = await halves().toColourspace('cmyk').toFormat(format).toBuffer();
    expect((await sharp(bytes).metadata()).space).toBe('cmyk');
    const frame = await decode(bytes);
    expect(sides(frame)).toMatchObject({ left: 'red' });
    // CMYK has no pure blue; a decoder that read the inks as RGB would show yellow.
    const [red = 0, green = 0, blue = 0] = frame?.rgb.subarray(-3) ?? [];
    expect(blue).toBeGreaterThan(2 * Math.max(red, green));
  });

  it.each([
    ['8 bits', 'b-w'],
    ['16 bits', 'grey16'],
  ])('converts greyscale of %s to three channels', async (_, space) => {
    const grey = await solid(64, 64, { r: 128, g: 128, b: 128 }).removeAlpha().toColourspace(space).png().toBuffer();
    const frame = await decode(grey);
    expect(frame?.rgb).toHaveLength(64 * 64 * 3);
    expect(sides(frame)).toMatchObject({ left: 'grey', right: 'grey' });
  });

  it.each([
    [1, { left: 'red', right: 'blue' }],
    [2, { left: 'blue', right: 'red' }],
    [3, { left: 'blue', right: 'red' }],
    [6, { top: 'red', bottom: 'blue' }],
    [8, { top: 'blue', bottom: 'red' }],
  ])('applies EXIF orientation %d before fitting', async (orientation, expected) => {
    const frame = await decode(await halves().withMetadata({ orientation }).jpeg().toBuffer());
    const isTurned = orientation >= 5;
    expect(frame).toMatchObject(isTurned ? { width: 48, height: 64 } : { width: 64, height: 48 });
    expect(sides(frame)).toMatchObject(expected);
  });

  it.each(['png', 'webp', 'avif', 'tiff', 'gif'] as const)('composites a transparent %s on white', async (format) => {
    const square = { create: { width: 60, height: 60, channels: 4, background: { ...RED, alpha: 1 } } } as const;
    const image = solid(120, 60, { r: 0, g: 0, b: 0, alpha: 0 }).composite([{ input: square, left: 0, top: 0 }]);
    // TIFF's default compression here is JPEG, which has no transparency.
    const options = format === 'tiff' ? { compression: 'lzw' as const } : {};
    expect(sides(await decode(await image.toFormat(format, options).toBuffer()))).toMatchObject({
      left: 'red',
      right: 'white',
    });
  });

  it('composites a half-transparent 16-bit PNG on white', async () => {
    const image = solid(64, 64, { r: 0, g: 0, b: 0, alpha: 0.5 }).toColourspace('rgb16').png();
    expect(sides(await decode(await image.toBuffer()))).toMatchObject({ left: 'grey', bottom: 'grey' });
  });

  it('decodes the first frame of an animation that is sent as an image', async () => {
    const stacked = Buffer.concat([Buffer.alloc(32 * 32 * 3, 0), Buffer.alloc(32 * 32 * 3, 255)]);
    const raw = { width: 32, height: 64, channels: 3, pageHeight: 32 } as const;
    for (const format of ['gif', 'webp'] as const) {
      const bytes = await sharp(stacked, { raw }).toFormat(format).toBuffer();
      const { modality, frames } = await decodeBytes(bytes, folder.path, { as: 'image' });
      expect([modality, frames.length, frames[0] && colourAt(frames[0], 0.5, 0.5)]).toEqual(['image', 1, 'black']);
    }
  });

  it('fits the shape of the model', async () => {
    const bytes = await halves().png().toBuffer();
    const { frames } = await decodeBytes(bytes, folder.path, { image: { side: 256, patch: 32 } });
    expect(frames[0]).toMatchObject({ width: 256, height: 192 });
  });

  it.each([
    [1, 1, 64, 64],
    [5, 2000, 16, 64],
    [3000, 40, 64, 16],
    [640, 480, 64, 48],
  ])('fits %d x %d pixels into %d x %d', async (width, height, fitWidth, fitHeight) => {
    expect(await decode(await solid(width, height).png().toBuffer())).toMatchObject({
      width: fitWidth,
      height: fitHeight,
    });
  });

  it.each(['jpeg', 'png', 'webp', 'avif', 'gif', 'tiff'] as const)('refuses a truncated %s', async (format) => {
    const noise = { width: 200, height: 200, channels: 3, noise: { type: 'gaussian', mean: 128, sigma: 40 } } as const;
    const whole = await sharp({ create: { ...noise, background: 'white' } })
      .toFormat(format)
      .toBuffer();
    for (const part of [0.1, 0.5, 0.9]) {
      const cut = whole.subarray(0, Math.floor(whole.length * part));
      expect(await codeOf(decode(cut)), `${part} of the file`).toBe('broken_media');
    }
  });

  it.each([
    ['jpeg', [1, 2, 3, 20, 200]],
    ['png', [1, 4, 12]],
    ['gif', [1, 4, 200]],
  ] as const)('takes a %s that lacks only its last bytes', async (format, missing) => {
    const noise = { width: 400, height: 300, channels: 3, noise: { type: 'gaussian', mean: 128, sigma: 40 } } as const;
    const whole = await sharp({ create: { ...noise, background: 'white' } })
      .toFormat(format)
      .toBuffer();
    for (const bytes of missing) await decode(whole.subarray(0, whole.length - bytes));
  });

  it('takes a JPEG whose end mark is missing, or padded with zeros', async () => {
    // A page: the white below must not be taken for what is missing.
    const top = await solid(200, 40).png().toBuffer();
    const white = { width: 200, height: 200, channels: 3, background: 'white' } as const;
    const whole = await sharp({ create: white })
      .composite([{ input: top, top: 0, left: 0 }])
      .jpeg()
      .toBuffer();
    const expected = await decode(whole);
    for (const bytes of [whole.subarray(0, -2), whole.subarray(0, -1), Buffer.concat([whole, Buffer.alloc(5000)])])
      expect((await decode(bytes))?.rgb).toEqual(expected?.rgb);
  });

  it('refuses more pixels than allowed, and states both numbers', async () => {
    const bytes = await solid(3000, 2000).png().toBuffer();
    const problem = await problemOf(decode(bytes));
    expect(problem).toMatchObject({
      code: 'too_many_pixels',
      detail: 'The image has 6.0 million pixels; at most 4.0 million are allowed.',
      extensions: { pixels: 6_000_000, limit_pixels: limits.maxPixels },
    });
  });

  it('refuses a file whose first bytes and content are of different formats', async () => {
    // Magic bytes of a GIF, then a PNG.
    const bytes = Buffer.concat([Buffer.from('GIF89a'), await solid(64, 64).png().toBuffer()]);
    expect(await codeOf(decode(bytes))).toBe('broken_media');
  });
});
