import { cp, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectSame, openGemma } from './inference/families/parity.js';
import { THIS } from './model-copies.js';
import { startServer, type TestServer } from './server.js';
import { writeTinyGemma } from './tiny/gemma.js';

let folder: string;
let server: TestServer;
let direct: Awaited<ReturnType<typeof openGemma>>;
/** The name of the second model in requests. */
let gemma: string;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'onespace-both-'));
  const tiny = path.join(folder, 'gemma');
  await writeTinyGemma(tiny);
  await cp('models/onespace-mini', path.join(folder, 'mini'), {
    recursive: true,
    filter: (file) => !/training/.test(file),
  });
  direct = await openGemma(tiny);
  server = await startServer({ MODELS: `${path.join(folder, 'mini')},${tiny}` });
  const { data } = (await (await fetch(`${server.url}/v1/models`)).json()) as { data: { id: string }[] };
  gemma = data.map(({ id }) => id).find((id) => id !== 'onespace-mini') as string;
});
afterAll(async () => {
  await server?.close();
  await direct?.dispose();
  await rm(folder, { recursive: true });
});

interface Results {
  results: { id: string; score: number }[];
}

describe('the bundled model and a model of the hub in one service', () => {
  it('return different vectors', async () => {
    const own = await server.json('/embed', { text: 'Mars' });
    const other = await server.json('/embed', { text: 'Mars', model: gemma });
    expect(own.headers.get('x-onespace-model')).toBe(THIS);
    expect(((await own.json()) as { dim: number }).dim).toBe(256);
    expectSame(
      ((await other.json()) as { embedding: number[] }).embedding,
      await direct.embed('title: none | text: Mars'),
    );
  });

  it('find what was stored for them, and nothing of the other', async () => {
    const cat = await readFile('samples/images/cat.jpg');
    await server.form('/items', { id: 'mini-cat', 'cat.jpg': cat });
    await server.form('/items', { id: 'gemma-cat', model: gemma, 'cat.jpg': cat });
    const find = async (body: object) => ((await (await server.json('/retrieve', body)).json()) as Results).results;
    expect((await find({ text: 'a cat' })).map(({ id }) => id)).toEqual(['mini-cat']);
    expect((await find({ id: 'mini-cat' })).length).toBe(0);
    expect((await find({ text: 'a cat', model: gemma })).map(({ id }) => id)).toEqual(['gemma-cat']);
  });
});
