import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { jpeg, mp4 } from '../media-files.js';
import { problemOf, startServer, type TestServer } from '../server.js';

interface Stored {
  id: string;
  modal_type: string;
  metadata: Record<string, unknown>;
  embedding?: number[];
}
interface Results {
  results: (Stored & { score: number })[];
}

let server: TestServer;
let clip: Buffer;
let red: Buffer;

beforeAll(async () => {
  [server, clip, red] = await Promise.all([startServer(), mp4(), jpeg('red')]);
});
afterAll(() => server.close());

const get = async (route: string) => (await (await fetch(server.url + route)).json()) as never;
const remove = (id: string) => fetch(`${server.url}/items/${encodeURIComponent(id)}`, { method: 'DELETE' });
const search = async (body: object) => (await (await server.json('/retrieve', body)).json()) as Results;

describe('items', () => {
  it('stores text, an image, a video and a vector, and finds each with itself as the query', async () => {
    const replies = [
      await server.json('/items', { id: 'text', text: 'a red car', metadata: { year: 2024 } }),
      await server.form('/items', { id: 'image', metadata: '{"album":"summer"}', 'red.jpg': red }),
      await server.form('/items', { id: 'video', 'clip.mp4': clip }),
      await server.json('/items', {
        id: 'vector',
        modal_type: 'image',
        embedding: Array.from({ length: 256 }, (_, i) => i - 100),
      }),
    ];
    expect(replies.map(({ status }) => status)).toEqual([201, 201, 201, 201]);
    expect(await get('/items/image')).toMatchObject({
      id: 'image',
      modal_type: 'image',
      metadata: { filename: 'red.jpg', album: 'summer' },
    });
    expect(await get('/items/text')).toEqual({
      id: 'text',
      modal_type: 'text',
      metadata: { text: 'a red car', year: 2024 },
    });

    const byText = await search({ text: 'a red car', top_k: 1 });
    expect(byText.results[0]).toMatchObject({ id: 'text', modal_type: 'text' });
    expect(byText.results[0]?.score).toBeCloseTo(1, 5);
    const byImage = (await (await server.form('/retrieve', { 'red.jpg': red, top_k: '1' })).json()) as Results;
    expect(byImage.results).toMatchObject([{ id: 'image', modal_type: 'image' }]);
    const byVideo = (await (await server.form('/retrieve', { 'clip.mp4': clip })).json()) as Results;
    expect(byVideo.results[0]).toMatchObject({ id: 'video', modal_type: 'video' });
    const { embedding } = (await get('/items/vector?include=embedding')) as Stored;
    expect(Math.hypot(...(embedding ?? []))).toBeCloseTo(1, 6);
    expect((await search({ embedding, top_k: 1 })).results[0]?.id).toBe('vector');
  });

  it('filters by modality and by metadata, best first', async () => {
    const { results } = await search({ text: 'a red car', modal_type: 'image' });
    expect(results.map(({ id }) => id).sort()).toEqual(['image', 'vector']);
    expect(results[0]?.score).toBeGreaterThanOrEqual(results[1]?.score ?? 1);
    expect((await search({ text: 'anything', filter: { year: { $gte: 2020 } } })).results.map(({ id }) => id)).toEqual([
      'text',
    ]);
  });

  it('replaces an item of the same id', async () => {
    await server.json('/items', { id: 'twice', text: 'first' });
    await server.json('/items', { id: 'twice', text: 'second' });
    expect(await get('/items/twice')).toMatchObject({ metadata: { text: 'second' } });
    expect((await search({ text: 'second', top_k: 100 })).results.filter(({ id }) => id === 'twice')).toHaveLength(1);
  });

  it('generates an id where none is given, and returns the location of the item', async () => {
    const response = await server.json('/items', { text: 'no id' });
    const { id } = (await response.json()) as Stored;
    expect(response.headers.get('location')).toBe(`/items/${id}`);
    expect(await get(`/items/${id}`)).toMatchObject({ id });
  });

  it('deletes an item once, then answers 404', async () => {
    await server.json('/items', { id: 'a/b c?', text: 'odd id' });
    expect((await remove('a/b c?')).status).toBe(204);
    expect(await problemOf(await remove('a/b c?'))).toMatchObject({ status: 404, code: 'not_found' });
    expect((await fetch(`${server.url}/items/a%2Fb%20c%3F`)).status).toBe(404);
  });

  it.each([
    ['Chinese characters', '红'.repeat(256)],
    ['emoji', '🚗'.repeat(256)],
  ])('takes an id of 256 %s, whatever bytes they are, and no longer one', async (_, id) => {
    expect((await server.json('/items', { id, text: 'a car' })).status).toBe(201);
    expect(await get(`/items/${encodeURIComponent(id)}`)).toMatchObject({ id, metadata: { text: 'a car' } });
    expect((await search({ text: 'a car', top_k: 100 })).results.map((hit) => hit.id)).toContain(id);
    expect((await remove(id)).status).toBe(204);
    const longer = await server.json('/items', { id: `${id}${id.slice(0, 2)}`, text: 'a car' });
    expect(await problemOf(longer)).toMatchObject({ status: 400, code: 'invalid_request', field: 'id' });
  });

  it('lists every item once, page by page', async () => {
    const seen: string[] = [];
    let cursor = '';
    do {
      const page = (await get(`/items?limit=2${cursor}`)) as { items: Stored[]; next_cursor?: string };
      expect(page.items.length).toBeLessThanOrEqual(2);
      seen.push(...page.items.map(({ id }) => id));
      cursor = page.next_cursor === undefined ? '' : `&cursor=${encodeURIComponent(page.next_cursor)}`;
    } while (cursor !== '');
    expect(seen).toEqual(expect.arrayContaining(['image', 'text', 'twice', 'vector', 'video']));
    expect(new Set(seen).size).toBe(seen.length);
    const videos = (await get('/items?modal_type=video')) as { items: Stored[] };
    expect(videos.items.map(({ id }) => id)).toEqual(['video']);
  });

  it.each([
    ['/items', {}, 400, 'invalid_request'],
    ['/items', { text: 'a', embedding: [1] }, 400, 'invalid_request'],
    ['/items', { embedding: [1, 2, 3] }, 422, 'wrong_dimension'],
    ['/items', { embedding: Array(256).fill(0) }, 422, 'not_normalizable'],
    ['/items', { text: 'a', id: 'x\ny' }, 400, 'invalid_request'],
    ['/items', { text: 'a', metadata: [1] }, 400, 'invalid_request'],
    ['/retrieve', {}, 400, 'invalid_request'],
    ['/retrieve', { text: 'a', top_k: 0 }, 400, 'invalid_request'],
    ['/retrieve', { text: 'a', top_k: '5' }, 400, 'invalid_request'],
    ['/retrieve', { text: 'a', modal_type: 'sound' }, 400, 'invalid_request'],
    ['/retrieve', { text: 'a', filter: { $maybe: [] } }, 400, 'invalid_request'],
    ['/retrieve', { embedding: [0.5] }, 422, 'wrong_dimension'],
  ])('POST %s refuses %j', async (route, body, status, code) => {
    expect(await problemOf(await server.json(route, body))).toMatchObject({ status, code });
  });

  it('refuses invalid fields beside a file, and keeps nothing of the file', async () => {
    const notJson = await server.form('/items', { metadata: '{"a":', 'clip.mp4': clip });
    expect(await problemOf(notJson)).toMatchObject({ status: 400, code: 'invalid_json', field: 'metadata' });
    const notObject = await server.form('/items', { metadata: '5', 'clip.mp4': clip });
    expect(await problemOf(notObject)).toMatchObject({ status: 400, code: 'invalid_request', field: 'metadata' });
    expect(await problemOf(await fetch(`${server.url}/items?limit=many`))).toMatchObject({
      status: 400,
      field: 'limit',
    });
    expect(await problemOf(await fetch(`${server.url}/items?cursor=nonsense`))).toMatchObject({
      status: 400,
      code: 'invalid_cursor',
    });
  });
});
