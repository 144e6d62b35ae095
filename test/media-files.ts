import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import sharp from 'sharp';

const run = promisify(execFile);

/** A JPEG of one colour, `width x height` pixels. */
export const jpeg = (background: string, width = 320, height = 240): Promise<Buffer> =>
  sharp({ create: { width, height, channels: 3, background } })
    .jpeg()
    .toBuffer();

/** An MP4 of `filter` (a lavfi source), encoded by ffmpeg. */
export const mp4 = (filter = 'testsrc=duration=3:size=320x180:rate=25'): Promise<Buffer> => video(filter, 'mp4');

/** A video of `filter` in any container. */
export async function video(filter: string, container: string): Promise<Buffer> {
  const folder = await mkdtemp(path.join(tmpdir(), 'onespace-video-'));
  const file = path.join(folder, `video.${container}`);
  const input = ['-v', 'error', '-f', 'lavfi', '-i', filter, '-pix_fmt', 'yuv420p', file];
  await run(process.env.FFMPEG_PATH ?? 'ffmpeg', input);
  const bytes = await readFile(file);
  await rm(folder, { recursive: true });
  return bytes;
}
