import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { countPages } from '../../../src/media/image/page-count.js';
import { makeVideo, source, useFolder } from '../support.js';

const PAGES = 7;
const stacked = (height = 16) => {
  const pixels = Buffer.from(Array.from({ length: 24 * height * PAGES * 3 }, (_, i) => (i * i) % 251));
  return sharp(pixels, { raw: { width: 24, height: height * PAGES, channels: 3, pageHeight: height } });
};

describe('countPages', () => {
  const folder = useFolder();

  it.each(['gif', 'webp'] as const)('agrees with sharp on the frames of a real %s', async (format) => {
    const bytes = await stacked().toFormat(format).toBuffer();
    expect((await sharp(bytes).metadata()).pages).toBe(PAGES);
    expect(countPages(bytes, format, 100)).toBe(PAGES);
  });

  it('counts the frames of a GIF with local palettes', async () => {
    const bytes = await makeVideo(folder.path, 'ffmpeg.gif', ...source('testsrc', '64x48', 1));
    expect(countPages(bytes, 'gif', 100)).toBe((await sharp(bytes).metadata()).pages);
  });

  it.each([{ bigtiff: false }, { bigtiff: true }])('counts the pages of a TIFF (%j)', async (options) => {
    const tiff = stacked().tiff({ compression: 'lzw', ...options });
    const bytes = await tiff.toBuffer();
    expect((await sharp(bytes).metadata()).pages).toBe(PAGES);
    expect(countPages(bytes, 'tiff', 100)).toBe(PAGES);
  });

  it('stops above its limit', async () => {
    expect(countPages(await stacked().gif().toBuffer(), 'gif', 3)).toBe(4);
  });

  it('counts one page in the other formats', async () => {
    expect(countPages(await stacked().png().toBuffer(), 'png', 3)).toBe(1);
  });
});
