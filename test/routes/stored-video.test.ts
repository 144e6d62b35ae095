import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import net from 'node:net';
import path from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeVideo, source, useFolder } from '../media/support.js';
import { problemOf, startServer, type TestServer } from '../server.js';

/** Long enough to be refused where it is only embedded, and larger than anything else may be. */
const SECONDS = 8;

describe('a video that is sent to be stored', () => {
  const folder = useFolder();
  let server: TestServer;
  let film: Buffer;
  let photo: Buffer;

  beforeAll(async () => {
    const settings = { MAX_UPLOAD_MB: '1', MAX_VIDEO_SECONDS: '5', MAX_STORED_MB: '100', MAX_INFLIGHT_MB: '70' };
    server = await startServer(settings);
    const codec = ['-c:v', 'rawvideo', '-pix_fmt', 'yuv420p'];
    film = await makeVideo(folder.path, 'film.avi', ...source('testsrc', '128x96', SECONDS), ...codec);
    expect(film.length).toBeGreaterThan(1e6);
    const noise = { type: 'gaussian', mean: 128, sigma: 60 } as const;
    photo = await sharp({ create: { width: 1000, height: 800, channels: 3, background: 'grey', noise } })
      .png()
      .toBuffer();
    expect(photo.length).toBeGreaterThan(1e6);
  });
  afterAll(() => server.close());

  const send = (route: string, type: string, body: Buffer) =>
    fetch(server.url + route, { method: 'POST', headers: { 'content-type': type }, body: new Uint8Array(body) });
  const spooled = () => readdir(path.join(server.dataDir, 'spool')).catch(() => []);

  it('may be larger and longer than one that is only embedded', async () => {
    expect((await send('/items?id=raw', 'video/x-msvideo', film)).status).toBe(201);
    const reply = await server.form('/items', { id: 'form', 'film.avi': film });
    expect(reply.status).toBe(201);
    expect(await reply.json()).toMatchObject({ modal_type: 'video', metadata: { duration: SECONDS } });
    for (const refused of [
      await send('/embed/video', 'video/x-msvideo', film),
      await server.form('/embed/video', { 'film.avi': film }),
      await server.form('/retrieve', { 'film.avi': film }),
    ])
      expect(await problemOf(refused)).toMatchObject({ code: 'too_large', limit_bytes: 1e6 });
    const { limits } = await (await fetch(`${server.url}/health`)).json();
    expect(limits).toMatchObject({ upload_bytes: 1e6, stored_video_bytes: 100e6, stored_video_seconds: 21_600 });
  });

  it('has a limit, and so has everything that stays in memory', async () => {
    expect(await problemOf(await send('/items', 'image/png', photo))).toMatchObject({ limit_bytes: 1e6 });
    expect(await problemOf(await server.form('/items', { 'photo.png': photo }))).toMatchObject({ limit_bytes: 1e6 });
    const endless = `POST /items HTTP/1.1\r\nhost: localhost\r\ncontent-type: video/mp4\r\ncontent-length: 900000000\r\n\r\n`;
    const socket = net.connect(Number(new URL(server.url).port), '127.0.0.1', () => socket.write(endless));
    const [answer] = await once(socket, 'data');
    expect(String(answer)).toContain('"limit_bytes":100000000');
    socket.destroy();
    await expect.poll(spooled).toEqual([]);
  });

  it('takes no place from others while it arrives: what has arrived of it is on the disk', async () => {
    const socket = net.connect(Number(new URL(server.url).port), '127.0.0.1');
    const head =
      'POST /items HTTP/1.1\r\nhost: localhost\r\ncontent-type: video/x-msvideo\r\ncontent-length: 95000000\r\n\r\n';
    await once(socket, 'connect');
    socket.write(head);
    socket.write(film.subarray(0, 1000));
    // More than all unfinished requests may hold in memory.
    for (let i = 0; i < 90; i++) if (!socket.write(Buffer.alloc(1e6))) await once(socket, 'drain');
    await expect.poll(async () => (await spooled()).length).toBe(1);
    const others = Array.from({ length: 8 }, (_, i) => server.json('/embed/text', { text: `text ${i}` }));
    expect((await Promise.all(others)).map(({ status }) => status)).toEqual(Array(8).fill(200));
    socket.destroy();
    await expect.poll(spooled).toEqual([]);
  });
});
