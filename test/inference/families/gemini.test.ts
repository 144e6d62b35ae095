import { readFile } from 'node:fs/promises';
import sharp from 'sharp';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { EncodeOptions } from '../../../src/inference/encoder.js';
import { GeminiEncoder, type GeminiOptions } from '../../../src/inference/families/gemini/encoder.js';
import { findModel, modelFolders } from '../../../src/models/catalog.js';
import type { GeminiManifest } from '../../../src/models/manifest.js';
import { mp4, video } from '../../media-files.js';
import { dot, problemOf, startServer, type TestServer } from '../../server.js';
import { GeminiServer, KEY, type WirePart } from './gemini-server.js';

const manifest = (await findModel('gemini-embedding-2', modelFolders({ MODELS_DIR: '' }))).manifest as GeminiManifest;
let google: GeminiServer;

beforeEach(() => {
  google.seen.length = 0;
  google.faults.length = 0;
  google.requests = 0;
  google.cancelled = 0;
});
beforeAll(async () => {
  google = await GeminiServer.start();
});
afterAll(() => google.close());

const fileOf = (part: WirePart | undefined) => {
  if (part === undefined || 'text' in part) throw new Error(`not a file: ${JSON.stringify(part)}`);
  return { mimeType: part.inlineData.mimeType, bytes: Buffer.from(part.inlineData.data, 'base64') };
};

describe('a service on the Gemini API', () => {
  let server: TestServer;

  beforeAll(async () => {
    server = await startServer({
      MODEL: 'gemini-embedding-2',
      GEMINI_API_KEY: KEY,
      GEMINI_URL: google.url,
      CACHE_DISK_MB: '0',
    });
  });
  afterAll(() => server.close());

  it('embeds text in the prompt of its role, and returns unit vectors', async () => {
    const reply = await server.json('/embed/text', { text: 'a red car' });
    const { embedding, dim } = (await reply.json()) as { embedding: number[]; dim: number };
    expect(dim).toBe(768);
    expect(dot(embedding, embedding)).toBeCloseTo(1, 6);
    await server.json('/embed/text', { text: 'a red car', role: 'query' });
    expect(google.seen).toEqual([
      [{ text: 'title: none | text: a red car' }],
      [{ text: 'task: search result | query: a red car' }],
    ]);
  });

  it('sends images as JPEG, upright and no larger than the model reads', async () => {
    const webp = await sharp({ create: { width: 3000, height: 1000, channels: 3, background: 'red' } })
      .webp()
      .toBuffer();
    expect((await server.form('/embed/image', { 'a.webp': webp })).status).toBe(200);
    const { mimeType, bytes } = fileOf(google.seen[0]?.[0]);
    expect(mimeType).toBe('image/jpeg');
    expect(await sharp(bytes).metadata()).toMatchObject({ format: 'jpeg', width: 1536, height: 512 });
    const { dominant } = await sharp(bytes).stats();
    expect(dominant.r).toBeGreaterThan(240);
    expect(dominant.g).toBeLessThan(20);
  });

  it('sends videos as the file that was uploaded', async () => {
    const upload = await readFile('samples/clips/rocket.mp4');
    const reply = await server.form('/embed/video', { 'rocket.mp4': upload });
    expect(await reply.json()).toMatchObject({ modal_type: 'video', dim: 768 });
    const { mimeType, bytes } = fileOf(google.seen[0]?.[0]);
    expect(mimeType).toBe('video/mp4');
    expect(bytes.equals(upload)).toBe(true);
  });

  it('refuses containers that the model does not read', async () => {
    const mkv = await video('testsrc=duration=1:size=64x64:rate=5', 'mkv');
    const reply = await server.form('/embed/video', { 'a.mkv': mkv });
    expect(await problemOf(reply)).toMatchObject({ code: 'unsupported_media', received: 'mkv' });
    expect(google.requests).toBe(0);
  });

  it('sends the parts of one input as one content, in their order', async () => {
    const upload = await mp4('testsrc=duration=1:size=64x64:rate=5');
    const png = await sharp({ create: { width: 8, height: 8, channels: 3, background: 'blue' } })
      .png()
      .toBuffer();
    const form = new FormData();
    form.append('file', new Blob([new Uint8Array(png)]), 'a.png');
    form.append('text', 'a blue one');
    form.append('file', new Blob([new Uint8Array(upload)]), 'a.mp4');
    form.append('text', 'and so on');
    expect((await fetch(`${server.url}/embed`, { method: 'POST', body: form })).status).toBe(200);
    expect(google.seen).toHaveLength(1);
    const kinds = google.seen[0]?.map((part) => ('text' in part ? part.text : part.inlineData.mimeType));
    expect(kinds).toEqual(['image/jpeg', 'title: none | text: a blue one', 'video/mp4', 'and so on']);
  });

  it('stores and finds', async () => {
    for (const id of ['one', 'two']) await server.json('/items', { id, text: id });
    const found = await server.json('/retrieve', { text: 'whatever', top_k: 2 });
    expect(((await found.json()) as { results: object[] }).results).toHaveLength(2);
    const same = await server.json('/retrieve', { id: 'one', top_k: 1 });
    expect(await same.json()).toMatchObject({ results: [{ id: 'two' }] });
  });

  it('passes on how long the quota is used up', async () => {
    google.faults.push({
      status: 429,
      details: [{ '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: '33.4s' }],
    });
    const reply = await server.json('/embed/text', { text: 'too many' });
    expect(reply.headers.get('retry-after')).toBe('34');
    expect(await problemOf(reply)).toMatchObject({ code: 'overloaded', status: 503 });
    expect(google.requests, 'a used-up quota is not retried').toBe(1);
  });

  it('reports where it runs', async () => {
    expect(await (await fetch(`${server.url}/health`)).json()).toMatchObject({
      models: [{ name: 'gemini-embedding-2', device: 'gemini-api', ready: true }],
    });
  });
});

describe('the encoder', () => {
  const open = (options: Partial<GeminiOptions> = {}) =>
    GeminiEncoder.open(manifest, { apiKey: KEY, url: google.url, inFlightMax: 8, firstWaitMs: 5, ...options });
  const options = (signal = new AbortController().signal): EncodeOptions => ({
    modality: 'text',
    role: 'document',
    signal,
    record: () => {},
  });
  const encode = async (more: Partial<GeminiOptions> = {}) => (await open(more)).encode([{ text: 'x' }], options());

  it('is off without a key', async () => {
    await expect(open({ apiKey: '' })).rejects.toThrow(/gemini-embedding-2 runs at Google: set GEMINI_API_KEY/);
  });

  it.each([
    ['failures of the service', { status: 500 }, { status: 503 }],
    ['cut connections', { cut: true }, { cut: true }],
  ] as const)('tries %s again', async (_, first, second) => {
    google.faults.push(first, second);
    expect((await encode()).vector).toHaveLength(768);
    expect(google.requests).toBe(3);
  });

  it('gives up after three attempts', async () => {
    google.faults.push({ status: 503 }, { status: 503 }, { status: 503 });
    await expect(encode()).rejects.toMatchObject({ code: 'model_unavailable', detail: 'The Gemini API answered 503.' });
    expect(google.requests).toBe(3);
  });

  it('gives up an attempt after its timeout', async () => {
    google.faults.push({ silent: true }, { silent: true }, { silent: true });
    await expect(encode({ timeoutMs: 100 })).rejects.toMatchObject({ code: 'model_unavailable' });
    expect(google.requests).toBe(3);
  });

  it('reports that the API cannot be reached', async () => {
    await expect(encode({ url: 'http://127.0.0.1:9' })).rejects.toMatchObject({
      code: 'model_unavailable',
      detail: 'The Gemini API cannot be reached.',
    });
  });

  it('reports a wrong key, without a second attempt and without the key', async () => {
    const error = await encode({ apiKey: 'AIza-wrong' }).catch((reason: Error) => reason);
    expect(error).toMatchObject({
      code: 'model_unavailable',
      detail: expect.stringMatching(/not accept the GEMINI_API_KEY/),
    });
    expect(JSON.stringify(error)).not.toContain('AIza-wrong');
    expect(google.requests).toBe(1);
  });

  it('passes on why an input is refused', async () => {
    google.faults.push({ status: 400, message: 'The video is longer than 120 seconds.' });
    await expect(encode()).rejects.toMatchObject({
      code: 'invalid_request',
      detail: 'The Gemini API refuses the input: The video is longer than 120 seconds.',
    });
    expect(google.requests).toBe(1);
  });

  it('does not take a vector of another length', async () => {
    google.faults.push({ dim: 256 });
    await expect(encode()).rejects.toMatchObject({
      detail: 'The Gemini API returned 256 numbers instead of 768.',
    });
  });

  it('cancels the request when its client has disconnected', async () => {
    google.faults.push({ silent: true });
    const client = new AbortController();
    const pending = (await open()).encode([{ text: 'x' }], options(client.signal));
    await expect.poll(() => google.requests).toBe(1);
    client.abort();
    await expect(pending).rejects.toMatchObject({ code: 'client_closed' });
    await expect.poll(() => google.cancelled).toBe(1);
  });

  it('refuses inputs above its limit, and every input after it was closed', async () => {
    google.faults.push({ silent: true });
    const client = new AbortController();
    const encoder = await open({ inFlightMax: 1 });
    const pending = encoder.encode([{ text: 'x' }], options(client.signal));
    await expect(encoder.encode([{ text: 'y' }], options())).rejects.toMatchObject({ code: 'overloaded' });
    await expect.poll(() => google.requests).toBe(1);
    client.abort();
    await expect(pending).rejects.toMatchObject({ code: 'client_closed' });
    await encoder.close();
    expect(encoder.isReady).toBe(false);
    await expect(encoder.encode([{ text: 'z' }], options())).rejects.toMatchObject({ code: 'shutting_down' });
  });
});

afterEach(() => expect(google.faults).toEqual([]));
