import { access } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { jpeg } from '../media-files.js';
import { BUNDLED_REVISION, ModelCopies, THIS } from '../model-copies.js';
import { dot, problemOf, startServer, type TestServer } from '../server.js';

interface Embedding {
  embedding: number[];
}

let copies: ModelCopies;
let server: TestServer;
let red: Buffer;

beforeAll(async () => {
  copies = await ModelCopies.open();
  const other = await copies.make({ name: 'other', revision: '7', flip: 64 });
  server = await startServer({ MODELS: `onespace-mini,${other}` });
  red = await jpeg('red');
});
afterAll(async () => {
  await server.close();
  await copies.close();
});

const vectorOf = async (response: Response) => ((await response.json()) as Embedding).embedding;
const modelOf = (response: Response) => response.headers.get('x-onespace-model');
const raw = (route: string) =>
  fetch(server.url + route, { method: 'POST', headers: { 'content-type': 'image/jpeg' }, body: new Uint8Array(red) });

describe('two models in one service', () => {
  it('embed as each request selects, and the reply names the model', async () => {
    const text = { text: 'a red car' };
    const replies = {
      none: await server.json('/embed', text),
      name: await server.json('/embed', { ...text, model: 'onespace-mini' }),
      revision: await server.json('/embed', { ...text, model: THIS }),
      other: await server.json('/embed', { ...text, model: 'other' }),
      query: await server.json('/embed?model=other', text),
      texts: await server.json('/embed/text', { text: 'a red car', model: 'other' }),
      textQuery: await fetch(`${server.url}/embed/text?text=a%20red%20car&model=other`, { method: 'POST' }),
    };
    const models = Object.fromEntries(Object.entries(replies).map(([how, reply]) => [how, modelOf(reply)]));
    const [mini, other] = [THIS, 'other@7'];
    expect(models).toEqual({
      ...{ none: mini, name: mini, revision: mini },
      ...{ other, query: other, texts: other, textQuery: other },
    });
    const { none, name, revision, ...others } = replies;
    const first = await vectorOf(none);
    for (const same of [name, revision]) expect(await vectorOf(same)).toEqual(first);
    const vectors = await Promise.all(Object.values(others).map(vectorOf));
    for (const vector of vectors) expect(dot(vector, first)).toBeLessThan(0.99);
    for (const vector of vectors) expect(dot(vector, vectors[0] ?? [])).toBeCloseTo(1, 5);
  });

  it('are selected for files by a form field or by the query string', async () => {
    for (const reply of [
      await server.form('/embed', { model: 'other', 'red.jpg': red }),
      await server.form('/embed/image', { model: 'other', 'red.jpg': red }),
      await server.form('/embed/image?model=other', { 'red.jpg': red }),
      await raw('/embed?model=other'),
      await raw('/embed/image?model=other'),
    ]) {
      expect(reply.status).toBe(200);
      expect(modelOf(reply)).toBe('other@7');
    }
  });

  it('have separate indexes', async () => {
    expect((await server.json('/items', { id: 'mine', text: 'a red car' })).status).toBe(201);
    expect((await server.json('/items', { id: 'theirs', text: 'a red car', model: 'other' })).status).toBe(201);
    expect((await server.form('/items?model=other', { id: 'file', 'red.jpg': red })).status).toBe(201);
    const ids = async (query: string) => {
      const { items } = (await (await fetch(`${server.url}/items${query}`)).json()) as { items: { id: string }[] };
      return items.map(({ id }) => id);
    };
    expect(await ids('')).toEqual(['mine']);
    expect(await ids('?model=onespace-mini')).toEqual(['mine']);
    expect(await ids('?model=other')).toEqual(['file', 'theirs']);
    expect((await fetch(`${server.url}/items/theirs`)).status).toBe(404);
    expect((await fetch(`${server.url}/items/theirs?model=other`)).status).toBe(200);

    const found = async (body: object) => {
      const reply = (await (await server.json('/retrieve', body)).json()) as { results: { id: string }[] };
      return reply.results.map(({ id }) => id);
    };
    expect(await found({ text: 'a red car' })).toEqual(['mine']);
    expect(await found({ text: 'a red car', model: 'other', top_k: 1 })).toEqual(['theirs']);
    const byFile = await server.form('/retrieve', { model: 'other', top_k: '1', 'red.jpg': red });
    expect(await byFile.json()).toMatchObject({ results: [{ id: 'file' }] });

    const remove = (query: string) => fetch(`${server.url}/items/theirs${query}`, { method: 'DELETE' });
    expect((await remove('')).status).toBe(404);
    expect((await remove('?model=other')).status).toBe(204);
    expect(await ids('?model=other')).toEqual(['file']);
    for (const index of ['onespace-mini', 'other']) await access(path.join(server.dataDir, 'index', index));
  });

  it('are listed with their limits and state', async () => {
    const list = await (await fetch(`${server.url}/v1/models`)).json();
    expect(list).toMatchObject({
      data: [
        { id: 'onespace-mini', revision: BUNDLED_REVISION, limits: { text_tokens: 64 } },
        { id: 'other', revision: '7' },
      ],
    });
    expect(await (await fetch(`${server.url}/v1/models/other`)).json()).toMatchObject({ id: 'other', revision: '7' });
    expect(await (await fetch(`${server.url}/health`)).json()).toMatchObject({
      model: { name: 'onespace-mini' },
      models: [
        { id: THIS, default: true, ready: true, device: 'cpu', index: { available: true } },
        { id: 'other@7', default: false, ready: true, device: 'cpu', limits: { text_tokens: 64 } },
      ],
    });
  });

  it('are selected by name through the OpenAI interface', async () => {
    const reply = await server.json('/v1/embeddings', { model: 'other', input: 'a red car' });
    expect(modelOf(reply)).toBe('other@7');
    const { data, model } = (await reply.json()) as { data: Embedding[]; model: string };
    expect(model).toBe('other');
    const native = await vectorOf(await server.json('/embed', { text: 'a red car', model: 'other' }));
    expect(dot(data[0]?.embedding ?? [], native)).toBeCloseTo(1, 5);
  });

  it('have separate metrics', async () => {
    const scrape = async () => (await fetch(`${server.url}/metrics`)).text();
    // Vectors are counted in the background: the first scrapes may come before.
    await expect.poll(scrape, { timeout: 10_000 }).toMatch(/^onespace_index_vectors.*onespace_index_vectors/ms);
    const text = await scrape();
    for (const model of [THIS, 'other@7']) {
      expect(text).toMatch(new RegExp(`^onespace_batch_size_count{model="${model}"} [1-9]`, 'm'));
      expect(text).toContain(`onespace_queue_length{model="${model}"} 0`);
      expect(text).toContain(`onespace_index_vectors{modality="text",model="${model}"}`);
      expect(text).toMatch(new RegExp(`stage="inference",modality="text",model="${model}"} [1-9]`));
    }
  });

  it.each([
    ['/embed', { text: 'a' }],
    ['/embed/text', { text: 'a' }],
    ['/retrieve', { text: 'a' }],
    ['/items', { text: 'a' }],
    ['/v1/embeddings', { input: 'a' }],
  ])('are named by the error at %s for an unknown model', async (route, body) => {
    const problem = await problemOf(await server.json(route, { ...body, model: 'gpt-5' }));
    expect(problem).toMatchObject({
      status: 404,
      code: 'model_not_found',
      detail: 'There is no model "gpt-5"; this service has "onespace-mini", "other".',
      models: ['onespace-mini', 'other'],
    });
    const files = route === '/v1/embeddings' || route === '/embed/text' ? [] : [{ model: 'gpt-5', 'red.jpg': red }];
    for (const form of files) expect(await problemOf(await server.form(route, form))).toMatchObject({ status: 404 });
  });

  it('must have different names', async () => {
    const twin = await copies.make({ name: 'other', revision: '8' });
    await expect(startServer({ MODELS: `${path.join(path.dirname(twin), 'other-7')},${twin}` })).rejects.toThrow(
      /are both other/,
    );
  });
});
