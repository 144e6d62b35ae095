import { cp, mkdir, mkdtemp, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { mp4 } from '../media-files.js';
import { problemOf, startServer, type TestServer } from '../server.js';

let folder: string;
let server: TestServer;
let keeping: TestServer;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'onespace-files-'));
  const root = path.join(folder, 'root');
  await mkdir(root);
  await cp('samples/images/cat.jpg', path.join(root, 'cat #1 ä?.jpg'));
  await writeFile(path.join(root, 'clip.mp4'), await mp4('testsrc=duration=4:size=640x360:rate=25'));
  [server, keeping] = await Promise.all([
    startServer({ MEDIA_ROOTS: `photos=${root}` }),
    startServer({ KEEP_ORIGINALS: 'true' }),
  ]);
  await server.json('/items', { id: 'cat', path: 'photos/cat #1 ä?.jpg' });
  await server.json('/items', { id: 'clip', path: 'photos/clip.mp4' });
  await server.json('/items', { id: 'text', text: 'a cat' });
});
afterAll(async () => {
  await Promise.all([server.close(), keeping.close()]);
  await rm(folder, { recursive: true });
});

const get = (route: string, headers: Record<string, string> = {}, { url } = server) => fetch(url + route, { headers });
/** Without the headers by which fetch keeps caches out. */
const statusOf = (route: string, headers: Record<string, string>) =>
  new Promise((resolve, reject) => {
    request(server.url + route, { headers }, (reply) => {
      reply.resume();
      resolve(reply.statusCode);
    })
      .on('error', reject)
      .end();
  });
const bytesOf = async (reply: Response) => Buffer.from(await reply.arrayBuffer());
const upload = async (to: TestServer, id: string, bytes: Buffer, name = `${id}.jpg`) =>
  expect((await to.form('/items', { id, [name]: bytes })).status).toBe(201);

describe('the file of an item', () => {
  it('is answered from where it lies, whole or in ranges', async () => {
    const whole = await get('/items/clip/media');
    expect(whole.status).toBe(200);
    expect(Object.fromEntries(whole.headers)).toMatchObject({
      'content-type': 'video/mp4',
      'accept-ranges': 'bytes',
      'x-content-type-options': 'nosniff',
      'content-security-policy': expect.stringContaining('sandbox'),
    });
    const bytes = await bytesOf(whole);
    const part = await get('/items/clip/media', { range: 'bytes=100-199' });
    expect(part.status).toBe(206);
    expect(part.headers.get('content-range')).toBe(`bytes 100-199/${bytes.length}`);
    expect(await bytesOf(part)).toEqual(bytes.subarray(100, 200));
    expect((await get('/items/clip/media', { range: `bytes=${bytes.length}-` })).status).toBe(416);
    const etag = whole.headers.get('etag') ?? '';
    expect(await statusOf('/items/clip/media', { 'if-none-match': etag })).toBe(304);
    const photo = await get('/items/cat/media');
    expect(photo.headers.get('content-type')).toBe('image/jpeg');
    expect((await bytesOf(photo)).length).toBe((await stat('samples/images/cat.jpg')).size);
  });

  it('is answered where it was kept, and not where there is none', async () => {
    const bytes = await sharp('samples/images/dog.jpg').png().toBuffer();
    await upload(keeping, 'dog', bytes);
    const reply = await get('/items/dog/media', {}, keeping);
    expect(reply.headers.get('content-type')).toBe('image/png');
    expect(await bytesOf(reply)).toEqual(bytes);
    await upload(server, 'sent', bytes);
    for (const id of ['sent', 'text', 'nobody']) {
      const problem = await problemOf(await get(`/items/${id}/media`));
      expect(problem).toMatchObject({ status: 404, code: 'not_found' });
      expect(problem.detail).not.toContain(folder);
    }
  });

  it('is nothing of this machine but media of the roots, whatever an item says', async () => {
    const page = path.join(folder, 'root/page.html');
    await writeFile(page, '<html><script>alert(1)</script>');
    for (const place of ['/etc/passwd', 'photos/../secret', 'photos/page.html', 'other/a.jpg', 5]) {
      await server.json('/items', { id: 'liar', text: 'a', metadata: { path: place } });
      expect([400, 404]).toContain((await get('/items/liar/media')).status);
      expect([400, 404]).toContain((await get('/items/liar/thumbnail')).status);
    }
    await rm(page);
  });
});

describe('thumbnails', () => {
  const pictureOf = async (route: string, of = server) => {
    const reply = await get(route, {}, of);
    expect(reply.status, route).toBe(200);
    expect(reply.headers.get('content-type')).toBe('image/webp');
    return sharp(await bytesOf(reply)).metadata();
  };

  it('are WebP of the size that was asked for, of photos and videos', async () => {
    expect(await pictureOf('/items/cat/thumbnail')).toMatchObject({ format: 'webp', width: 320, height: 320 });
    expect(await pictureOf('/items/cat/thumbnail?size=1280')).toMatchObject({ width: 384, height: 384 });
    expect(await pictureOf('/items/clip/thumbnail')).toMatchObject({ width: 320, height: 180 });
    expect(await pictureOf('/items/clip/thumbnail?size=sprite')).toMatchObject({ width: 1280, height: 720 });
    expect((await get('/items/clip/thumbnail?size=99999')).status).toBe(400);
    expect((await get('/items/text/thumbnail')).status).toBe(404);
    expect((await get('/items/cat/thumbnail?size=sprite')).status).toBe(415);
  });

  it('are there of files that were sent and not kept, and of those that are gone', async () => {
    await upload(server, 'horse', await sharp('samples/images/castle.jpg').toBuffer());
    for (const size of ['320', '1280'])
      expect(await pictureOf(`/items/horse/thumbnail?size=${size}`)).toMatchObject({ width: 320 });
    await upload(server, 'sent-clip', await mp4(), 'a.mp4');
    for (const size of ['320', '1280', 'sprite']) await pictureOf(`/items/sent-clip/thumbnail?size=${size}`);
    await pictureOf('/items/cat/thumbnail');
    await truncate(path.join(folder, 'root/clip.mp4'), 0);
    expect(await pictureOf('/items/clip/thumbnail')).toMatchObject({ width: 320, height: 180 });
  });

  it('are made once when many ask at the same time', async () => {
    await upload(keeping, 'many', await sharp('samples/images/castle.jpg').toBuffer());
    const replies = await Promise.all(Array.from({ length: 20 }, () => pictureOf('/items/many/thumbnail', keeping)));
    expect(new Set(replies.map(({ size }) => size)).size).toBe(1);
  });
});

describe('what is like an item', () => {
  it('is found by its id, without the item itself', async () => {
    const { results } = await (await get('/items/cat/similar?top_k=2')).json();
    expect(results).toHaveLength(2);
    expect(results.map(({ id }: { id: string }) => id)).not.toContain('cat');
    expect(results[0].score).toBeGreaterThanOrEqual(results[1].score);
    expect((await get('/items/nobody/similar')).status).toBe(404);
    expect((await get('/items/cat/similar?top_k=0')).status).toBe(400);
  });

  it('is a duplicate where it shows the same: the largest is to be kept', async () => {
    const own = await startServer();
    const dog = sharp('samples/images/dog.jpg');
    const files: Record<string, Buffer> = {
      'a-small': await dog.clone().resize(200).jpeg({ quality: 60 }).toBuffer(),
      'b-large': await dog.clone().resize(800).png().toBuffer(),
      'c-same': await dog.clone().resize(200).jpeg({ quality: 60 }).toBuffer(),
      'd-cat': await sharp('samples/images/cat.jpg').toBuffer(),
      'e-cat-mirrored': await sharp('samples/images/cat.jpg').flop().toBuffer(),
      'f-horse': await sharp('samples/images/castle.jpg').toBuffer(),
      'g-horse': await sharp('samples/images/castle.jpg').toBuffer(),
    };
    for (const [id, bytes] of Object.entries(files)) await upload(own, id, bytes);
    await own.json('/items', [{ text: 'a dog' }, { text: 'a dog' }]);
    const groups: { kind: string; keep: string; items: { id: string }[] }[] = [];
    for (let cursor = '', more = true; more; ) {
      const page = await (await get(`/duplicates?limit=3${cursor && `&cursor=${cursor}`}`, {}, own)).json();
      groups.push(...page.groups);
      cursor = page.next_cursor ?? '';
      more = cursor !== '';
    }
    const summary = groups.map(({ kind, keep, items }) => ({ kind, keep, ids: items.map(({ id }) => id).sort() }));
    expect(summary).toEqual([
      { kind: 'near', keep: 'b-large', ids: ['a-small', 'b-large', 'c-same'] },
      { kind: 'exact', keep: 'f-horse', ids: ['f-horse', 'g-horse'] },
    ]);
    await own.close();
  });
});
