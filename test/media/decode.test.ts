import { readdir } from 'node:fs/promises';
import path from 'node:path';
import sharp from 'sharp';
import { beforeAll, describe, expect, it } from 'vitest';
import { decodeMedia } from '../../src/media/decode.js';
import { Ffmpeg } from '../../src/media/video/ffmpeg.js';
import {
  codeOf,
  decodeBytes,
  ffmpeg,
  limits,
  makeVideo,
  problemOf,
  processesOf,
  receiveBytes,
  sampling,
  shape,
  source,
  useFolder,
} from './support.js';

const still = () => sharp({ create: { width: 64, height: 64, channels: 3, background: 'red' } });

describe('decodeMedia', () => {
  const folder = useFolder();
  const video = () => makeVideo(folder.path, 'video.mp4', ...source('color=red', '64x64', 1));

  it('recognises a file by its content', async () => {
    expect((await decodeBytes(await still().png().toBuffer(), folder.path)).modality).toBe('image');
    expect((await decodeBytes(await video(), folder.path)).modality).toBe('video');
  });

  it('names the received modality and the right route when another modality is expected', async () => {
    const asImage = await problemOf(decodeBytes(await video(), folder.path, { as: 'image' }));
    expect(asImage).toMatchObject({ code: 'wrong_modality', status: 415, extensions: { received_modality: 'video' } });
    expect(asImage.detail).toMatch(/a video \(mp4\).*\/embed\/video/);
    for (const format of ['jpeg', 'gif', 'webp'] as const) {
      const bytes = await still().toFormat(format).toBuffer();
      const asVideo = await problemOf(decodeBytes(bytes, folder.path, { as: 'video' }));
      expect(asVideo.detail).toMatch(new RegExp(`a still image \\(${format}\\).*/embed/image`));
    }
  });

  it('does nothing for a disconnected client', async () => {
    const work = decodeBytes(await still().png().toBuffer(), folder.path, { signal: AbortSignal.abort() });
    expect(await codeOf(work)).toBe('client_closed');
  });
});

describe('a decode that is stopped', () => {
  const folder = useFolder();
  let slowBytes: Buffer;
  beforeAll(async () => {
    await makeVideo(folder.path, 'second.mp4', ...source('testsrc', '1920x1080', 1, 60), '-preset', 'ultrafast');
    // One second repeated: quick to write, slow to decode.
    const repeated = ['-stream_loop', '40', '-i', path.join(folder.path, 'second.mp4'), '-c', 'copy'];
    slowBytes = await makeVideo(folder.path, 'slow.mp4', ...repeated);
  });
  /** An upload, and the processes whose command line names its file. */
  const slowUpload = async () => {
    const upload = await receiveBytes(slowBytes, folder.path);
    if (upload.modality !== 'video') throw new Error('expected a video');
    return { upload, processes: () => processesOf(path.basename(upload.path)) };
  };
  const options = { image: shape, video: sampling, limits, ffmpeg };

  it('is killed when its client disconnects, and leaves nothing behind', async () => {
    const { upload, processes } = await slowUpload();
    const client = new AbortController();
    const decoding = codeOf(decodeMedia(upload, { ...options, signal: client.signal }));
    await expect.poll(processes, { timeout: 5000 }).toHaveLength(1);
    client.abort();
    expect(await decoding).toBe('client_closed');
    expect(await processes()).toEqual([]);
    await upload.dispose();
    expect((await readdir(folder.path)).filter((name) => name.endsWith('.upload'))).toEqual([]);
  });

  it('is killed when it takes longer than allowed', async () => {
    const { upload, processes } = await slowUpload();
    const decoding = decodeMedia(upload, { ...options, limits: { ...limits, timeoutMs: 400 } });
    expect(await codeOf(decoding)).toBe('decode_timeout');
    expect(await processes()).toEqual([]);
    await upload.dispose();
  });

  it('leaves the queue when its client disconnects before it starts', async () => {
    const { upload, processes } = await slowUpload();
    const [first, second] = [new AbortController(), new AbortController()];
    const oneAtATime = { ...options, ffmpeg: await Ffmpeg.locate(process.env, 1) };
    const running = codeOf(decodeMedia(upload, { ...oneAtATime, signal: first.signal }));
    await expect.poll(processes, { timeout: 5000 }).toHaveLength(1);
    const waiting = codeOf(decodeMedia(upload, { ...oneAtATime, signal: second.signal }));
    second.abort();
    expect(await waiting).toBe('client_closed');
    // One process measures the video, and another decodes it.
    await expect.poll(processes, { timeout: 5000 }).toHaveLength(1);
    first.abort();
    expect(await running).toBe('client_closed');
    await upload.dispose();
  });
});
