import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { Problem } from '../../../src/common/errors.js';
import { decodeMedia } from '../../../src/media/decode.js';
import { Ffmpeg } from '../../../src/media/video/ffmpeg.js';
import { ffmpeg, limits, makeVideo, receiveBytes, sampling, shape, source, useFolder } from '../support.js';

describe('Ffmpeg', () => {
  const folder = useFolder();
  const script = async (name: string, content: string) => {
    const file = path.join(folder.path, name);
    await writeFile(file, `#!/bin/sh\n${content}\n`, { mode: 0o755 });
    return file;
  };

  it('prefers FFMPEG_PATH, and reports its version', async () => {
    const own = await script('own', 'echo "my own build"');
    expect(await Ffmpeg.locate({ FFMPEG_PATH: own })).toMatchObject({ path: own, version: 'my own build' });
    expect(ffmpeg.version).toMatch(/^ffmpeg version/);
  });

  it('names the remedy when FFMPEG_PATH does not run, instead of falling back', async () => {
    await expect(Ffmpeg.locate({ FFMPEG_PATH: '/nowhere/ffmpeg' })).rejects.toThrow(/FFMPEG_PATH.*correct it or unset/);
  });

  it('reports an ffmpeg that does not start as an internal error, not as a broken file', async () => {
    const broken = await script(
      'broken',
      '[ "$1" = -version ] && echo "a build" && exit; echo "no libx264.so" >&2; exit 127',
    );
    const upload = await receiveBytes(
      await makeVideo(folder.path, 'video.mp4', ...source('color=red', '64x64', 1)),
      folder.path,
    );
    const options = { image: shape, video: sampling, limits, ffmpeg: await Ffmpeg.locate({ FFMPEG_PATH: broken }) };
    const error: unknown = await decodeMedia(upload, options).catch((thrown: unknown) => thrown);
    expect(error).not.toBeInstanceOf(Problem);
    expect(String(error)).toMatch(/does not start.*libx264/);
    await upload.dispose();
  });
});
