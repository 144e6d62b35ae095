import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { decodeBytes, useFolder } from '../../media/support.js';
import { mp4 } from '../../media-files.js';
import { problemOf, startServer, type TestServer } from '../../server.js';
import { writeTinyGemma } from '../../tiny/gemma.js';
import { expectSame, openGemma, rawImage, readImage } from './parity.js';

const QUERY = 'task: search result | query: ';
const DOCUMENT = 'title: none | text: ';
const SAMPLING = { maxSide: 1024, framesPerSecond: 1, minFrames: 1, maxFrames: 32 };

const folder = useFolder();
let dir: string;
let server: TestServer;
let direct: Awaited<ReturnType<typeof openGemma>>;
let cat: Buffer;
let cup: Buffer;
let video: Buffer;

beforeAll(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'onespace-gemma-'));
  await writeTinyGemma(dir);
  direct = await openGemma(dir);
  server = await startServer({ MODEL: dir, CACHE_MB: '0', CACHE_DISK_MB: '0' });
  cat = await readFile('samples/images/cat.jpg');
  cup = await readFile('samples/images/coffee.webp');
  video = await mp4('testsrc=duration=4:size=320x180:rate=10');
});

afterAll(async () => {
  await server?.close();
  await direct?.dispose();
  await rm(dir, { recursive: true });
});

const dataUrl = (type: string, bytes: Uint8Array) => `data:${type};base64,${Buffer.from(bytes).toString('base64')}`;

async function embed(body: object): Promise<{ embedding: number[]; tokens: number; truncated: boolean }> {
  const response = await server.json('/embed', body);
  expect(response.status).toBe(200);
  return (await response.json()) as { embedding: number[]; tokens: number; truncated: boolean };
}

describe('EmbeddingGemma 2 returns the vectors of @huggingface/transformers', () => {
  it.each([
    ['query', QUERY],
    ['document', DOCUMENT],
  ])('for text as a %s', async (role, prompt) => {
    for (const text of ['Which planet is known as the Red Planet?', 'a', '红色汽车 and more']) {
      expectSame((await embed({ text, role })).embedding, await direct.embed(prompt + text));
    }
  });

  it('for text as a document by default, and for /v1/embeddings with its input_type', async () => {
    expectSame((await embed({ text: 'Mars' })).embedding, await direct.embed(`${DOCUMENT}Mars`));
    const response = await server.json('/v1/embeddings', { input: 'Mars', input_type: 'query' });
    const { data } = (await response.json()) as { data: { embedding: number[] }[] };
    expectSame(data[0]?.embedding ?? [], await direct.embed(`${QUERY}Mars`));
  });

  it('for one image, read from the same file', async () => {
    const expected = await direct.embed(`${DOCUMENT}<|image|>`, { images: [await readImage(cat)] });
    expectSame((await embed({ image: dataUrl('image/jpeg', cat) })).embedding, expected);
    const response = await server.form('/embed/image', { 'cat.jpg': cat, role: 'query' });
    const { embedding } = (await response.json()) as { embedding: number[] };
    expectSame(embedding, await direct.embed(`${QUERY}<|image|>`, { images: [await readImage(cat)] }));
  });

  it('for several images', async () => {
    const images = [await readImage(cat), await readImage(cup)];
    const parts = [{ image: dataUrl('image/jpeg', cat) }, { image: dataUrl('image/webp', cup) }];
    expectSame((await embed({ parts })).embedding, await direct.embed(`${DOCUMENT}<|image|><|image|>`, { images }));
  });

  it('for a video', async () => {
    const { frames } = await decodeBytes(video, folder.path, { video: SAMPLING });
    expect(frames).toHaveLength(4);
    const expected = await direct.embed(`${DOCUMENT}<|video|>`, { videos: [frames.map(rawImage)] });
    expectSame((await embed({ video: dataUrl('video/mp4', video) })).embedding, expected);
  });

  it('for mixed input, in its order', async () => {
    const { frames } = await decodeBytes(video, folder.path, { video: SAMPLING });
    const parts = [
      { text: 'at night' },
      { image: dataUrl('image/jpeg', cat) },
      { text: 'meets' },
      { video: dataUrl('video/mp4', video) },
    ];
    const media = { images: [await readImage(cat)], videos: [frames.map(rawImage)] };
    const expected = await direct.embed(`${DOCUMENT}at night<|image|>meets<|video|>`, media);
    expectSame((await embed({ parts })).embedding, expected);
    const reversed = await embed({ parts: parts.toReversed() });
    expectSame(reversed.embedding, await direct.embed(`${DOCUMENT}<|video|>meets<|image|>at night`, media));
  });

  it.each([2, 5, 40])('for %i inputs of every kind and length at once', async (count) => {
    const image = await readImage(cat);
    const inputs = Array.from({ length: count }, (_, i) => {
      const text = `number ${i} ${'and more '.repeat(i % 9)}`;
      return i % 4 === 3
        ? {
            body: { parts: [{ text }, { image: dataUrl('image/jpeg', cat) }] },
            text: `${text}<|image|>`,
            images: [image],
          }
        : { body: { text }, text, images: [] };
    });
    const vectors = await Promise.all(inputs.map(({ body }) => embed(body)));
    for (const [i, { text, images }] of inputs.entries()) {
      expectSame(vectors[i]?.embedding ?? [], await direct.embed(DOCUMENT + text, { images }));
    }
  });
});

describe('EmbeddingGemma 2', () => {
  it('stores documents and searches with queries', async () => {
    await server.json('/items', { id: 'mars', text: 'Mars is red' });
    const response = await server.json('/retrieve', { text: 'Mars is red' });
    const { results } = (await response.json()) as { results: { id: string; score: number }[] };
    const [query, document] = [await direct.embed(`${QUERY}Mars is red`), await direct.embed(`${DOCUMENT}Mars is red`)];
    const score = query.reduce((sum, x, i) => sum + x * (document[i] as number), 0);
    expect(score).toBeLessThan(0.999);
    expect(results[0]?.score).toBeCloseTo(score, 5);
  });

  it('counts the tokens that the public processor counts', async () => {
    // 640x480 -> 266 soft tokens in 270, with the two special tokens of an image and the two of a sequence; a frame of 480x480
    // -> 121. Source: tests/models/embedding_gemma2/test_processor_embedding_gemma2.js of transformers.js 4.3.
    const { default: sharp } = await import('sharp');
    const bytes = await sharp({ create: { width: 640, height: 480, channels: 3, background: 'red' } })
      .png()
      .toBuffer();
    const promptTokens = direct.processor.tokenizer?.encode(DOCUMENT, { add_special_tokens: false }).length ?? 0;
    expect((await embed({ image: dataUrl('image/png', bytes) })).tokens).toBe(270 + promptTokens);
    const square = await mp4('testsrc=duration=3:size=480x480:rate=10');
    expect((await embed({ video: dataUrl('video/mp4', square) })).tokens).toBe(3 * (121 + 2) + 2 + promptTokens);
    const { pixel_values, image_position_ids } = await direct.processor(null, await readImage(bytes));
    expect(pixel_values.dims).toEqual([1, 2520, 768]);
    expect(image_position_ids.sum().item()).toBe(115857n);
  });

  it('cuts text that is too long, reports it, and keeps the special token at the end', async () => {
    const long = await embed({ text: 'the cat '.repeat(5000) });
    expect(long).toMatchObject({ truncated: true });
    expect(long.tokens).toBeGreaterThan(2040);
    expect(long.tokens).toBeLessThanOrEqual(2048);
    expect((await embed({ text: 'the cat '.repeat(100) })).truncated).toBe(false);
  });

  it('reads a placeholder in the text of a caller as text', async () => {
    const { embedding } = await embed({ text: 'what is <|image|> and <|video|>?' });
    expectSame(embedding, await direct.embed(`${DOCUMENT}what is < |image|> and < |video|>?`));
  });

  it('refuses blank text, and more images than fit', async () => {
    expect(await problemOf(await server.json('/embed', { text: ' ' }))).toMatchObject({ code: 'invalid_request' });
    const parts = Array.from({ length: 16 }, () => ({ image: dataUrl('image/jpeg', cat) }));
    expect(await problemOf(await server.json('/embed', { parts }))).toMatchObject({ code: 'too_large' });
  });

  it('does not start in half precision, nor in a dtype that it does not have', async () => {
    await expect(startServer({ MODEL: dir, DTYPE: 'fp16' })).rejects.toThrow(
      'does not come in DTYPE=fp16, but in fp32: its activations grow beyond the range of half precision.',
    );
    await expect(startServer({ MODEL: dir, DTYPE: 'q4' })).rejects.toThrow('does not come in DTYPE=q4, but in fp32.');
  });
});
