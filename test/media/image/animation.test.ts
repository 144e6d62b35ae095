import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import type { FrameSampling } from '../../../src/media/frame.js';
import { codeOf, colourAt, colours, decodeBytes, limits, problemOf, sampling, useFolder } from '../support.js';

const RGB = { red: [255, 0, 0], green: [0, 128, 0], blue: [0, 0, 255], yellow: [255, 255, 0] } as const;

/** An animation whose frames are one solid colour each. */
function animate(
  format: 'gif' | 'webp',
  names: (keyof typeof RGB)[],
  delaysMs: number[],
  [width, height] = [40, 20],
): Promise<Buffer> {
  const stacked = Buffer.concat(names.map((name) => Buffer.alloc(width * height * 3, Buffer.from(RGB[name]))));
  const raw = { width, height: height * names.length, channels: 3, pageHeight: height } as const;
  return sharp(stacked, { raw, limitInputPixels: false }).toFormat(format, { delay: delaysMs, loop: 0 }).toBuffer();
}

const alternating = (count: number) => Array.from({ length: count }, (_, i) => (i % 2 ? 'red' : 'blue'));

describe.each(['gif', 'webp'] as const)('animated %s', (format) => {
  const folder = useFolder();
  const decode = async (bytes: Uint8Array, options: Partial<FrameSampling> = {}) => {
    const { modality, frames } = await decodeBytes(bytes, folder.path, { video: { ...sampling, ...options } });
    expect(modality).toBe('video');
    return frames;
  };

  it('is sampled by how long its frames are shown', async () => {
    const frames = await decode(await animate(format, ['red', 'green', 'blue'], [3000, 1000, 2000]));
    expect(colours(frames)).toEqual(['red', 'red', 'red', 'green', 'blue', 'blue']);
    expect(frames.map((frame) => frame.timeSeconds)).toEqual([0.5, 1.5, 2.5, 3.5, 4.5, 5.5]);
    expect(frames[0]).toMatchObject({ width: 64, height: 32 });
  });

  it.runIf(format === 'webp')('is turned as its EXIF orientation says', async () => {
    // As seen: red above, and yellow at the right of what is below it, which is blue.
    const [width, height] = [40, 20];
    const seen = (x: number, y: number) => (y < height / 2 ? 'red' : x < width / 2 ? 'blue' : 'yellow');
    for (let orientation = 1; orientation <= 8; orientation++) {
      const isTurned = orientation >= 5;
      const [w, h] = isTurned ? [height, width] : [width, height];
      const page = Buffer.alloc(w * h * 3);
      for (let y = 0; y < height; y++)
        for (let x = 0; x < width; x++) {
          // Where EXIF says that the first stored row and column are: top, right, bottom or left.
          const row = [y, y, height - 1 - y, height - 1 - y, x, width - 1 - x, width - 1 - x, x][orientation - 1] ?? 0;
          const column =
            [x, width - 1 - x, width - 1 - x, x, y, y, height - 1 - y, height - 1 - y][orientation - 1] ?? 0;
          page.set(RGB[seen(x, y)], 3 * (row * w + column));
        }
      const raw = { width: w, height: 2 * h, channels: 3, pageHeight: h } as const;
      // Another pixel in the corner: pages that are all alike are stored as one.
      const second = Buffer.from(page);
      second.set([1, 2, 3]);
      const animated = sharp(Buffer.concat([page, second]), { raw }).withMetadata({ orientation });
      const frames = await decode(await animated.webp({ lossless: true, delay: [500, 500], loop: 0 }).toBuffer());
      expect(frames[0]).toMatchObject({ width: 64, height: 32 });
      for (const frame of frames)
        expect([colourAt(frame, 0.5, 0.2), colourAt(frame, 0.2, 0.8), colourAt(frame, 0.8, 0.8)]).toEqual([
          'red',
          'blue',
          'yellow',
        ]);
    }
  });

  it('does not mix neighbouring frames when resized', async () => {
    const frames = await decode(await animate(format, ['red', 'blue', 'yellow', 'green'], [1000, 1000, 1000, 1000]));
    const edges = frames.map((frame) => [colourAt(frame, 0.5, 0), colourAt(frame, 0.5, 0.999)]);
    expect(edges).toEqual(['red', 'blue', 'yellow', 'green'].map((colour) => [colour, colour]));
  });

  it('shows frames without a delay for a tenth of a second', async () => {
    const frames = await decode(await animate(format, alternating(20), Array(20).fill(0)), {
      framesPerSecond: 2,
    });
    expect(frames.map((frame) => frame.timeSeconds)).toEqual([0.25, 0.75, 1.25, 1.75]);
  });

  it('is decoded in windows when its frames are large', async () => {
    // A frame takes 9 MB, so a window holds three.
    const names = (['red', 'green', 'blue', 'yellow', 'red', 'green'] as const).slice();
    const bytes = await animate(format, names, Array(6).fill(1000), [2000, 1500]);
    const { frames } = await decodeBytes(bytes, folder.path, { limits: { ...limits, maxPixels: 20_000_000 } });
    expect(colours(frames)).toEqual(names);
  });

  it('is refused when all its frames together have too many pixels', async () => {
    const names = (['red', 'green', 'blue', 'yellow', 'red'] as const).slice();
    const problem = await problemOf(decode(await animate(format, names, Array(5).fill(100), [1000, 1000])));
    expect(problem).toMatchObject({
      code: 'too_many_pixels',
      extensions: { pixels: 5_000_000, limit_pixels: limits.maxPixels },
    });
  });

  it('is refused when it is longer than allowed', async () => {
    expect(await codeOf(decode(await animate(format, ['red', 'blue'], [60_000, 1000])))).toBe('video_too_long');
  });
});

describe('a truncated animation', () => {
  const folder = useFolder();
  const cut = async (format: 'gif' | 'webp') => {
    const bytes = await animate(format, ['red', 'green', 'blue', 'yellow'], Array(4).fill(1000), [200, 200]);
    return bytes.subarray(0, bytes.length * 0.6);
  };

  it('is refused as WebP', async () => {
    expect(await codeOf(decodeBytes(await cut('webp'), folder.path))).toBe('broken_media');
  });

  it('is decoded up to the cut as GIF, as in browsers', async () => {
    const { frames } = await decodeBytes(await cut('gif'), folder.path, { video: { ...sampling, minFrames: 1 } });
    // The truncated frame is counted, but shows the previous one.
    expect(colours(frames)).toEqual(['red', 'green', 'green']);
  });
});
