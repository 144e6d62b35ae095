import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { decodeBytes, useFolder } from '../../media/support.js';
import { mp4 } from '../../media-files.js';
import { problemOf, startServer, type TestServer } from '../../server.js';
import { writeTinyClip } from '../../tiny/clip.js';
import { expectSame, openTowers, rawImage, readImage, unitMean } from './parity.js';

const SAMPLING = { maxSide: 1024, framesPerSecond: 1, minFrames: 1, maxFrames: 32 };
const dataUrl = (type: string, bytes: Uint8Array) => `data:${type};base64,${Buffer.from(bytes).toString('base64')}`;

describe.each([
  ['clip', { padding: true }, 77],
  ['siglip', { padding: 'max_length', max_length: 64 }, 64],
] as const)('a model in the shape of %s', (kind, padding, maxTokens) => {
  const folder = useFolder();
  let dir: string;
  let server: TestServer;
  let direct: Awaited<ReturnType<typeof openTowers>>;
  let cat: Buffer;
  let video: Buffer;

  beforeAll(async () => {
    dir = await mkdtemp(path.join(tmpdir(), `onespace-${kind}-`));
    await writeTinyClip(dir, { kind });
    direct = await openTowers(dir, padding);
    server = await startServer({ MODEL: dir, CACHE_MB: '0', CACHE_DISK_MB: '0' });
    cat = await readFile('samples/images/cat.jpg');
    video = await mp4('testsrc=duration=4:size=320x180:rate=10');
  });

  afterAll(async () => {
    await server?.close();
    await direct?.dispose();
    await rm(dir, { recursive: true });
  });

  async function embed(body: object): Promise<{ embedding: number[]; tokens: number; truncated: boolean }> {
    const response = await server.json('/embed', body);
    expect(response.status).toBe(200);
    return (await response.json()) as { embedding: number[]; tokens: number; truncated: boolean };
  }

  it('returns the vectors of @huggingface/transformers for texts and for images', async () => {
    for (const text of ['a photo of a cat', 'RED', '红色汽车 and more'])
      expectSame((await embed({ text })).embedding, await direct.text(text));
    for (const [file, type] of [
      ['cat.jpg', 'jpeg'],
      ['coffee.webp', 'webp'],
      ['dog.jpg', 'jpeg'],
    ] as const) {
      const bytes = await readFile(`samples/images/${file}`);
      const expected = await direct.image(await readImage(bytes));
      expectSame((await embed({ image: dataUrl(`image/${type}`, bytes) })).embedding, expected);
    }
  });

  it('returns the same vectors in a batch with padding', async () => {
    const texts = Array.from({ length: 40 }, (_, i) => `number ${i} ${'and on '.repeat(i % 6)}`);
    const vectors = await Promise.all(texts.map((text) => embed({ text })));
    for (const [i, text] of texts.entries()) expectSame(vectors[i]?.embedding ?? [], await direct.text(text));
    const expected = await direct.image(await readImage(cat));
    const images = await Promise.all(Array.from({ length: 9 }, () => embed({ image: dataUrl('image/jpeg', cat) })));
    for (const { embedding } of images) expectSame(embedding, expected);
  });

  it('averages the frames of a video, and reports that it does not know their order', async () => {
    const { frames } = await decodeBytes(video, folder.path, { video: SAMPLING });
    const expected = unitMean(...(await Promise.all(frames.map((frame) => direct.image(rawImage(frame))))));
    expectSame((await embed({ video: dataUrl('video/mp4', video) })).embedding, expected);
    const { data } = (await (await fetch(`${server.url}/v1/models`)).json()) as { data: { temporal: boolean }[] };
    expect(data[0]).toMatchObject({ temporal: false, modalities: ['text', 'image', 'video'] });
  });

  it('averages the parts of mixed input', async () => {
    const parts = [{ text: 'at night' }, { image: dataUrl('image/jpeg', cat) }];
    const expected = unitMean(await direct.text('at night'), await direct.image(await readImage(cat)));
    expectSame((await embed({ parts })).embedding, expected);
  });

  it('cuts text that is too long as text, so that the special token at the end stays', async () => {
    const { tokens, truncated, embedding } = await embed({ text: 'x '.repeat(500) });
    expect({ tokens, truncated }).toEqual({ tokens: maxTokens, truncated: true });
    const specialTokens = kind === 'clip' ? 2 : 1;
    const kept =
      kind === 'clip'
        ? 'x '.repeat(maxTokens - specialTokens).trim()
        : 'x '.repeat(500).slice(0, maxTokens - specialTokens);
    expectSame(embedding, await direct.text(kept));
  });

  it('refuses blank text', async () => {
    expect(await problemOf(await server.json('/embed', { text: ' ' }))).toMatchObject({ code: 'invalid_request' });
  });
});
