import { describe, expect, it } from 'vitest';
import { decodeVideo } from '../../../src/media/video/video.js';
import { codeOf, colours, ffmpeg, limits, makeVideo, sampling, source, useFolder } from '../support.js';

/** A film of eight minutes: each minute another colour, an odd number of them so that the middle is clear. */
const COLOURS = ['red', 'green', 'blue', 'yellow', 'white', 'black', 'red', 'blue'];
const MINUTE = 60;

describe('a film that is long and large', () => {
  const folder = useFolder();
  const long = { ...limits, maxVideoSeconds: 3600 };
  const options = { ffmpeg, limits: long, sampling: { ...sampling, minFrames: 8, maxFrames: 8 } };
  /** @param args codec and container */
  async function film(name: string, ...args: string[]) {
    const boxes = COLOURS.map((colour, i) => `drawbox=t=fill:c=${colour}:enable='gte(t,${i * MINUTE})'`).join(',');
    await makeVideo(
      folder.path,
      name,
      ...source('color=red', '64x48', COLOURS.length * MINUTE, 2),
      '-vf',
      boxes,
      ...args,
    );
    return `${folder.path}/${name}`;
  }
  const LARGE = 1e9;

  it.each([
    ['mp4', 'film.mp4', ['-c:v', 'libx264', '-g', '50']],
    ['mkv', 'film.mkv', ['-c:v', 'libx264', '-g', '50']],
    ['webm', 'film.webm', ['-c:v', 'libvpx', '-g', '50']],
    ['avi', 'film.avi', ['-c:v', 'mpeg4', '-g', '50']],
    ['mpegts', 'film.ts', ['-c:v', 'mpeg2video', '-r', '25', '-g', '50']],
  ] as const)('is sampled by seeking: %s', async (format, name, args) => {
    const path = await film(name, ...args);
    const { frames: sought } = await decodeVideo({ path, format, size: LARGE }, options);
    expect(colours(sought)).toEqual(COLOURS);
    for (const [i, { timeSeconds }] of sought.entries()) expect(timeSeconds).toBeCloseTo((i + 0.5) * MINUTE, -1);
    expect(colours((await decodeVideo({ path, format, size: 1 }, options)).frames)).toEqual(COLOURS);
  });

  it('is refused when its header says that it is longer than allowed', async () => {
    const path = await film('again.mp4', '-c:v', 'libx264');
    const short = { ...options, limits: { ...long, maxVideoSeconds: 100 } };
    expect(await codeOf(decodeVideo({ path, format: 'mp4', size: LARGE }, short))).toBe('video_too_long');
  });

  it('is read whole where its header does not tell how long it is', async () => {
    const path = await film('stream.mkv', '-c:v', 'libx264', '-g', '50', '-live', '1');
    expect(colours((await decodeVideo({ path, format: 'mkv', size: LARGE }, options)).frames)).toEqual(COLOURS);
  });
});
