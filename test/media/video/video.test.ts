import { readdir } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import type { FrameSampling } from '../../../src/media/frame.js';
import { planSampling } from '../../../src/media/frame-sampling.js';
import {
  codeOf,
  colours,
  decodeBytes,
  HALVES,
  limits,
  makeVideo,
  problemOf,
  sampling,
  sides,
  source,
  useFolder,
} from '../support.js';

/** Red, green, blue and yellow for a second each; 40 frames. */
const FOUR_COLOURS = [
  ...source('color=red', '96x64', 4),
  ...[
    '-vf',
    "drawbox=t=fill:c=green:enable='gte(t,1)',drawbox=t=fill:c=blue:enable='gte(t,2)',drawbox=t=fill:c=yellow:enable='gte(t,3)'",
  ],
];
const A_COLOUR_A_SECOND = ['red', 'green', 'blue', 'yellow'];
const times = (frames: { timeSeconds: number }[]) => frames.map((frame) => frame.timeSeconds);
const seconds = (...values: number[]) => values.map((value) => expect.closeTo(value, 1));

describe('videos', () => {
  const folder = useFolder();
  const make = (name: string, ...args: string[]) => makeVideo(folder.path, name, ...args);
  const decode = async (bytes: Uint8Array, options: Partial<FrameSampling> = {}) => {
    const { modality, frames } = await decodeBytes(bytes, folder.path, { video: { ...sampling, ...options } });
    expect(modality).toBe('video');
    return frames;
  };

  it.each([
    ['mp4', ['-c:v', 'libx264', '-pix_fmt', 'yuv420p']],
    ['mov', ['-c:v', 'libx264', '-pix_fmt', 'yuv420p']],
    ['mov', ['-c:v', 'prores']],
    ['webm', ['-c:v', 'libvpx']],
    ['webm', ['-c:v', 'libvpx-vp9']],
    ['mkv', ['-c:v', 'libx264']],
    ['avi', ['-c:v', 'mpeg4', '-bf', '2']],
    ['avi', ['-c:v', 'mjpeg']],
    ['mp4', ['-c:v', 'libx265', '-x265-params', 'log-level=0', '-tag:v', 'hvc1']],
    ['mp4', ['-c:v', 'libaom-av1', '-cpu-used', '8']],
    ['avi', ['-c:v', 'msmpeg4v2']],
    ['avi', ['-c:v', 'wmv1']],
    ['avi', ['-c:v', 'cinepak']],
    ['wmv', ['-c:v', 'wmv2']],
    ['asf', ['-c:v', 'msmpeg4']],
    ['flv', ['-c:v', 'flv']],
    ['flv', ['-c:v', 'libx264', '-pix_fmt', 'yuv420p']],
    // Whole pictures alone: of frames that are all alike Theora leaves out the packets.
    ['ogv', ['-c:v', 'libtheora', '-q:v', '8', '-g', '1']],
    ['mpg', ['-c:v', 'mpeg1video', '-r', '25', '-q:v', '2']],
    ['vob', ['-f', 'dvd', '-c:v', 'mpeg2video', '-r', '25', '-q:v', '2']],
    ['ts', ['-c:v', 'libx264', '-pix_fmt', 'yuv420p']],
    ['ts', ['-c:v', 'mpeg2video', '-r', '25', '-q:v', '2']],
    ['m2ts', ['-f', 'mpegts', '-mpegts_m2ts_mode', '1', '-c:v', 'libx264', '-pix_fmt', 'yuv420p']],
    ['3gp', ['-c:v', 'h263', '-s', '176x144']],
    // Written as a stream, without a duration in any header, as browsers record.
    ['webm', ['-c:v', 'libvpx', '-live', '1']],
    ['mp4', ['-c:v', 'libx264', '-movflags', 'frag_keyframe+empty_moov']],
  ])('samples %s (%j) once a second', async (container, codec) => {
    const frames = await decode(await make(`video.${container}`, ...FOUR_COLOURS, ...codec));
    expect(colours(frames)).toEqual(A_COLOUR_A_SECOND);
    expect(times(frames)).toEqual(seconds(0.5, 1.5, 2.5, 3.5));
    expect(frames[0]).toMatchObject({ width: 64, height: 48 });
  });

  it('samples a short video more often', async () => {
    const frames = await decode(await make('short.mp4', ...FOUR_COLOURS), { minFrames: 8 });
    expect(colours(frames)).toEqual(A_COLOUR_A_SECOND.flatMap((colour) => [colour, colour]));
    expect(times(frames)).toEqual(seconds(0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3.25, 3.75));
  });

  it('samples a long video less often, over its whole duration', async () => {
    const frames = await decode(await make('long.mp4', ...FOUR_COLOURS), { minFrames: 1, maxFrames: 2 });
    expect(colours(frames)).toEqual(['green', 'yellow']);
    expect(times(frames)).toEqual(seconds(1, 3));
  });

  it('decodes only keyframes where they are dense enough, and reports their own times', async () => {
    // A keyframe every 0.7 s; a frame's brightness encodes its time.
    const clock = ['-vf', "geq=lum='16+T*10':cb=128:cr=128,format=yuv420p", '-g', '7', '-sc_threshold', '0'];
    const bytes = await make('dense.mp4', ...source('color=black', '64x64', 20), ...clock);
    const frames = await decode(bytes, { minFrames: 1, maxFrames: 4 });
    expect(times(frames)).toEqual(seconds(2.1, 7, 11.9, 17.5));
    const brightness = frames.map(({ rgb, timeSeconds }) => (rgb[0] ?? 0) - (timeSeconds * 10 * 255) / 219);
    expect(Math.max(...brightness.map(Math.abs))).toBeLessThan(6);
  });

  it('samples the frame that a player shows at each timestamp, at a variable frame rate', async () => {
    // Kept: the frames at 0, 0.1, 0.2, 1.0 and 3.0 s.
    const select = "select='lt(t,0.25)+between(t,0.95,1.05)+between(t,2.95,3.05)'";
    const filters = FOUR_COLOURS.map((arg) => (arg.startsWith('drawbox') ? `${arg},${select}` : arg));
    const bytes = await make('vfr.mp4', ...filters, '-fps_mode', 'vfr');
    expect(colours(await decode(bytes, { framesPerSecond: 1, minFrames: 3 }))).toEqual(['red', 'green', 'green']);
  });

  it.each(['mp4', 'webm', 'avi', 'mkv', 'mov'])('decodes a %s of a single frame', async (container) => {
    const frames = await decode(
      await make(`one.${container}`, ...source('color=blue', '64x64', 0.1), '-frames:v', '1'),
    );
    expect(colours(frames)).toEqual(['blue', 'blue', 'blue', 'blue']);
    expect(times(frames).every((time) => time >= 0 && time <= 0.1)).toBe(true);
  });

  it.each([
    [90, { width: 32, height: 64 }, { top: 'red', bottom: 'blue' }],
    [180, { width: 64, height: 32 }, { left: 'blue', right: 'red' }],
    [270, { width: 32, height: 64 }, { top: 'blue', bottom: 'red' }],
  ])('rotates a video upright whose display matrix says %d degrees', async (degrees, size, colours) => {
    const bytes = await make('plain.mp4', ...source('color=red', '128x64', 1), ...HALVES);
    const [frame] = await decode(rotated(bytes, degrees));
    expect(frame).toMatchObject(size);
    expect(sides(frame)).toMatchObject(colours);
  });

  it('applies the pixel aspect ratio', async () => {
    const frames = await decode(await make('wide.mp4', ...source('color=red', '64x64', 1), '-vf', 'setsar=2'));
    expect(frames[0]).toMatchObject({ width: 64, height: 32 });
  });

  it.each([
    ['mov', ['-c:v', 'prores_ks', '-profile:v', '4444', '-pix_fmt', 'yuva444p10le']],
    ['mov', ['-c:v', 'qtrle', '-pix_fmt', 'argb']],
    ['mov', ['-c:v', 'png']],
    ['webm', ['-c:v', 'libvpx-vp9', '-pix_fmt', 'yuva420p']],
    ['webm', ['-c:v', 'libvpx', '-pix_fmt', 'yuva420p', '-auto-alt-ref', '0']],
  ])('composites a transparent %s (%j) on white', async (container, codec) => {
    const half = "format=rgba,geq=r=255:g=0:b=0:a='if(lt(X,W/2),255,0)'";
    const frames = await decode(
      await make(`alpha.${container}`, ...source('color=red', '128x64', 1), '-vf', half, ...codec),
    );
    expect(sides(frames[0])).toMatchObject({ left: 'red', right: 'white' });
  });

  it('ends a video with its last frame, not with its sound', async () => {
    const bytes = await make('sound.mp4', ...source('color=green', '64x64', 2), '-f', 'lavfi', '-i', 'sine=d=5');
    const frames = await decode(bytes);
    expect(new Set(colours(frames))).toEqual(new Set(['green']));
    expect(Math.max(...times(frames))).toBeLessThan(2);
  });

  it.each(['snow', 'zmbv', 'flashsv'])('names a codec that is left out: %s', async (codec) => {
    const args = codec === 'snow' ? ['-strict', '-2'] : [];
    const bytes = await make('left-out.avi', ...source('testsrc', '64x48', 1), '-c:v', codec, ...args);
    expect(await problemOf(decode(bytes))).toMatchObject({
      code: 'unsupported_media',
      detail: expect.stringContaining(codec),
    });
  });

  it('shows a high dynamic range as a usual screen does', async () => {
    // 203 nits, the white of BT.2408, and a red as bright: in PQ and in HLG.
    const hdr = (name: string, transfer: string) =>
      make(
        name,
        ...source('color=white', '64x48', 1),
        ...[
          '-vf',
          `drawbox=x=0:w=iw/2:h=ih:c=red:t=fill,zscale=tin=bt709:min=bt709:pin=bt709:rin=tv:t=${transfer}:p=bt2020:m=bt2020nc:npl=203,format=yuv420p10le`,
        ],
        ...['-c:v', 'libx265', '-x265-params', 'log-level=0', '-tag:v', 'hvc1'],
        ...['-color_primaries', 'bt2020', '-color_trc', transfer, '-colorspace', 'bt2020nc'],
      );
    for (const [name, transfer] of [
      ['pq.mp4', 'smpte2084'],
      ['hlg.mp4', 'arib-std-b67'],
    ] as const) {
      const [frame] = await decode(await hdr(name, transfer));
      const at = (x: number) => [...(frame?.rgb.subarray(3 * (24 * 64 + x), 3 * (24 * 64 + x) + 3) ?? [])];
      const [red = 0, green = 255, blue = 255] = at(12);
      expect(red).toBeGreaterThan(190);
      expect(Math.max(green, blue)).toBeLessThan(60);
      expect(Math.min(...at(52))).toBeGreaterThan(200);
    }
  });

  it('refuses sound without a video stream', async () => {
    const problem = await problemOf(decode(await make('sound-only.mp4', '-f', 'lavfi', '-i', 'sine=d=2')));
    expect(problem).toMatchObject({
      code: 'broken_media',
      detail: 'The file has sound but no video stream; send a video.',
    });
  });

  it('does not treat a cover image as a video', async () => {
    const cover = ['-map', '0', '-map', '1', '-c:v', 'png', '-disposition:v:0', 'attached_pic'];
    const song = ['-f', 'lavfi', '-i', 'sine=d=2', ...source('color=red', '64x64', 0.1), '-frames:v', '1', ...cover];
    expect(await codeOf(decode(await make('song.mp4', ...song)))).toBe('broken_media');
  });

  it('refuses an MP4 truncated before its index', async () => {
    const bytes = await make('whole.mp4', ...source('testsrc', '128x96', 3));
    expect(await codeOf(decode(bytes.subarray(0, bytes.length / 2)))).toBe('broken_media');
  });

  it('decodes a truncated WebM up to the cut', async () => {
    const bytes = await make('whole.webm', ...FOUR_COLOURS, '-g', '1');
    const frames = await decode(bytes.subarray(0, bytes.length * 0.6));
    expect(colours(frames)[0]).toBe('red');
    expect(Math.max(...times(frames))).toBeLessThan(3.5);
  });

  it('repeats the last frame where the end of a short video cannot be decoded', async () => {
    const bytes = await make('damaged.avi', ...source('color=green', '64x64', 1), '-c:v', 'mjpeg');
    // The second half of the frames becomes noise; the index still lists them.
    const movi = bytes.indexOf('movi');
    const index = bytes.lastIndexOf('idx1');
    for (let chunk = bytes.indexOf('00dc', (movi + index) / 2); chunk < index && chunk > 0; ) {
      const size = bytes.readUInt32LE(chunk + 4);
      bytes.fill(0x55, chunk + 8, chunk + 8 + size);
      chunk = bytes.indexOf('00dc', chunk + 8 + size);
    }
    const frames = await decode(bytes);
    expect(colours(frames)).toEqual(['green', 'green', 'green', 'green']);
    expect(times(frames)).toEqual(seconds(0.125, 0.375, 0.625, 0.875));
  });

  it('refuses frames of more pixels than allowed before decoding one', async () => {
    const bytes = await make('large.mp4', ...source('color=red', '2400x1800', 0.2), '-preset', 'ultrafast');
    const problem = await problemOf(decode(bytes));
    expect(problem).toMatchObject({
      code: 'too_many_pixels',
      extensions: { pixels: 4_320_000, limit_pixels: limits.maxPixels },
    });
  });

  it('refuses a video longer than allowed, and accepts one of exactly the limit', async () => {
    const video = (duration: number) => make('long.mp4', ...source('color=red', '32x32', duration, 1));
    const problem = await problemOf(decode(await video(limits.maxVideoSeconds + 2)));
    expect(problem).toMatchObject({ code: 'video_too_long', status: 413, extensions: { limit_seconds: 60 } });
    expect(await decode(await video(limits.maxVideoSeconds))).toHaveLength(sampling.maxFrames);
  });

  it('leaves no temporary file behind', async () => {
    await decode(await make('last.mp4', ...FOUR_COLOURS));
    expect((await readdir(folder.path)).filter((name) => name.endsWith('.upload'))).toEqual([]);
  });
});

describe('planSampling', () => {
  it.each([
    [8, 8],
    [2.6, 4],
    [0.04, 4],
    [7.4, 7],
    [10, 8],
    [3600, 8],
  ])('samples a video of %d s %d times', (duration, count) => {
    expect(planSampling(duration, sampling)).toEqual({ count, spacingSeconds: duration / count });
  });
});

/** Writes a clockwise rotation into the display matrix of an MP4's track header, as phones do. */
function rotated(mp4: Buffer, degrees: number): Buffer {
  const bytes = Buffer.from(mp4);
  const radians = (degrees / 180) * Math.PI;
  const [cos, sin] = [Math.round(Math.cos(radians)), Math.round(Math.sin(radians))];
  // After the box's type: 40 bytes of other fields, then the matrix (a, b, u, c, d, ...) in 16.16 fixed point.
  const matrix = bytes.indexOf('tkhd') + 4 + 40;
  for (const [position, value] of [cos, sin, 0, -sin, cos].entries())
    bytes.writeInt32BE(value * 65536, matrix + 4 * position);
  return bytes;
}
