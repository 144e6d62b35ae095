import { describe, expect, it } from 'vitest';
import { codeOf, decodeBytes, HALVES, limits, makeVideo, problemOf, sides, source, useFolder } from '../support.js';
import { heicFrom, heicOfTiles } from './heic.js';
import { HALVES_JXL } from './jxl.js';

describe('images that sharp does not decode', () => {
  const folder = useFolder();
  const decode = async (bytes: Uint8Array, options: Parameters<typeof decodeBytes>[2] = {}) => {
    const { modality, frames } = await decodeBytes(bytes, folder.path, options);
    expect({ modality, count: frames.length }).toEqual({ modality: 'image', count: 1 });
    return frames[0];
  };
  const heic = async (width: number, height: number) => {
    const codec = ['-frames:v', '1', '-c:v', 'libx265', '-x265-params', 'log-level=0', '-tag:v', 'hvc1'];
    const size = `${width}x${height}`;
    return heicFrom(
      await makeVideo(folder.path, 'one.mp4', ...source('color=red', size, 1), ...HALVES, ...codec),
      width,
      height,
    );
  };
  const bmp = (...args: string[]) =>
    makeVideo(folder.path, 'one.bmp', ...source('color=red', '64x48', 1), ...HALVES, '-frames:v', '1', ...args);
  const AS_SEEN = { left: 'red', right: 'blue' };

  it('are decoded: HEIC of HEVC, as phones take them', async () => {
    const frame = await decode(await heic(128, 96));
    expect(sides(frame)).toMatchObject(AS_SEEN);
    expect(frame).toMatchObject({ width: 64, height: 48 });
  });

  it('are decoded: HEIC in tiles that are cut to size and turned, as phones store them', async () => {
    const codec = ['-frames:v', '1', '-c:v', 'libx265', '-x265-params', 'log-level=0', '-tag:v', 'hvc1'];
    const tile = (colour: string) =>
      makeVideo(folder.path, `${colour}.mp4`, ...source(`color=${colour}`, '128x128', 1), ...codec);
    const [red, blue] = [await tile('red'), await tile('blue')];
    const of = (tiles: Buffer[], quarterTurns: number) =>
      decode(heicOfTiles(tiles, { columns: 2, tile: [128, 128], size: [240, 180] }, quarterTurns));
    const upright = await of([red, blue, red, blue], 0);
    expect(sides(upright)).toMatchObject(AS_SEEN);
    expect(upright).toMatchObject({ width: 64, height: 48 });
    const turned = await of([red, blue, red, blue], 2);
    expect(sides(turned)).toMatchObject({ left: 'blue', right: 'red' });
    const portrait = await of([red, red, blue, blue], 1);
    expect(portrait).toMatchObject({ width: 48, height: 64 });
    expect(sides(portrait)).toMatchObject(AS_SEEN);
  });

  it('are decoded: JPEG XL', async () => {
    const frame = await decode(HALVES_JXL);
    expect(sides(frame)).toMatchObject(AS_SEEN);
    expect(frame).toMatchObject({ width: 64, height: 48 });
  });

  it.each(['bgr24', 'bgra', 'rgb555le', 'pal8', 'gray', 'monob'])('are decoded: BMP of %s', async (pixels) => {
    const frame = await decode(await bmp('-pix_fmt', pixels));
    expect(frame).toMatchObject({ width: 64, height: 48 });
    if (!['gray', 'monob'].includes(pixels)) expect(sides(frame)).toMatchObject(AS_SEEN);
  });

  it('are refused when they have more pixels than allowed, before they are decoded', async () => {
    const few = { limits: { ...limits, maxPixels: 1000 } };
    for (const bytes of [await heic(128, 96), HALVES_JXL, await bmp()])
      expect(await codeOf(decodeBytes(bytes, folder.path, few))).toBe('too_many_pixels');
    const lie = Buffer.from(await bmp());
    lie.writeInt32LE(100_000, 18);
    lie.writeInt32LE(100_000, 22);
    expect(await codeOf(decodeBytes(lie, folder.path))).toBe('too_many_pixels');
  });

  it('are refused when they are cut short or damaged, and the next one is decoded', async () => {
    const whole = [await heic(128, 96), HALVES_JXL, await bmp()];
    for (const bytes of whole) {
      for (const part of [0.3, 0.6]) {
        const problem = await problemOf(decodeBytes(bytes.subarray(0, Math.floor(bytes.length * part)), folder.path));
        expect(problem.code).toBe('broken_media');
      }
      expect(sides(await decode(bytes))).toMatchObject(AS_SEEN);
    }
  });

  it('are given up after the time that is allowed, or when the client has gone', async () => {
    const bytes = await heic(1600, 1200);
    const short = { limits: { ...limits, timeoutMs: 1 } };
    expect(await codeOf(decodeBytes(bytes, folder.path, short))).toBe('decode_timeout');
    const gone = new AbortController();
    const given = codeOf(decodeBytes(bytes, folder.path, { signal: gone.signal }));
    setTimeout(() => gone.abort(), 20);
    expect(await given).toBe('client_closed');
    expect(sides(await decode(bytes))).toMatchObject(AS_SEEN);
  });
});
