import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { jpeg } from '../media-files.js';
import { dot, problemOf, startServer, type TestServer } from '../server.js';

interface Hit {
  id: string;
  score: number;
  metadata?: Record<string, unknown>;
  embedding?: number[];
}

const TEXTS = ['a red car', 'a blue car', 'a cat', 'a dog', 'rain at night'];

let server: TestServer;
let red: Buffer;
/** The vectors of TEXTS; each text is stored under itself as the id. */
let vectors: Record<string, number[]>;

beforeAll(async () => {
  [server, red] = await Promise.all([startServer(), jpeg('red')]);
  for (const text of TEXTS) await server.json('/items', { id: text, text });
  await server.form('/items', { id: 'red picture', 'red.jpg': red });
  const { results } = (await (await server.json('/embed/text', { text: TEXTS })).json()) as {
    results: { embedding: number[] }[];
  };
  vectors = Object.fromEntries(TEXTS.map((text, i) => [text, results[i]?.embedding ?? []]));
});
afterAll(() => server.close());

async function search(body: object): Promise<Hit[]> {
  const response = await server.json('/retrieve', body);
  expect(response.status).toBe(200);
  return ((await response.json()) as { results: Hit[] }).results;
}

const ids = (hits: readonly Hit[]) => hits.map(({ id }) => id);
const picture = () => ({ image: `data:image/jpeg;base64,${red.toString('base64')}` });

/** The reference: an exhaustive search over the texts. */
function nearest(query: readonly number[]): string[] {
  const score = (text: string) => dot(vectors[text] ?? [], query);
  return [...TEXTS].sort((a, b) => score(b) - score(a));
}

const sum = (...terms: [weight: number, text: string][]) =>
  Array.from({ length: 256 }, (_, i) => terms.reduce((all, [w, text]) => all + w * (vectors[text]?.[i] ?? 0), 0));

describe('POST /retrieve', () => {
  it('finds for a stored item what it finds for its vector, without the item itself', async () => {
    const byId = await search({ id: 'a cat', modal_type: 'text' });
    expect(ids(byId)).toEqual(nearest(vectors['a cat'] ?? []).slice(1));
    const byVector = await search({ embedding: vectors['a cat'], modal_type: 'text' });
    expect(byVector[0]?.id).toBe('a cat');
    expect(byVector.slice(1).map(({ score }) => score.toFixed(5))).toEqual(
      byId.slice(0, 4).map(({ score }) => score.toFixed(5)),
    );
  });

  it('finds by an image, and the same by JSON parts as by a form of text and image', async () => {
    expect((await search({ ...picture(), top_k: 1 }))[0]).toMatchObject({ id: 'red picture' });
    const parts = await search({ parts: [{ text: 'a car' }, picture()] });
    const form = await server.form('/retrieve', { text: 'a car', 'red.jpg': red, include: '["metadata"]' });
    expect(((await form.json()) as { results: Hit[] }).results).toEqual(parts);
  });

  it('adds and subtracts terms by weight', async () => {
    const mix = [{ text: 'a red car' }, { text: 'a cat', weight: -0.5 }, { id: 'a dog', weight: 0.7 }];
    const hits = await search({ mix, modal_type: 'text', top_k: 10 });
    const query = sum([1, 'a red car'], [-0.5, 'a cat'], [0.7, 'a dog']);
    expect(ids(hits)).toEqual(nearest(query).filter((id) => id !== 'a dog'));
    expect(hits[0]?.score).toBeCloseTo(dot(vectors[hits[0]?.id ?? ''] ?? [], query) / Math.hypot(...query), 5);
    const pictureAndWords = await search({ mix: [picture(), { text: 'rain at night', weight: 0.01 }], top_k: 1 });
    expect(ids(pictureAndWords)).toEqual(['red picture']);
  });

  it('never returns a score above 1, in spite of rounding', async () => {
    for (const text of TEXTS) expect((await search({ text, top_k: 1 }))[0]?.score).toBeLessThanOrEqual(1);
    expect((await search(picture()))[0]?.score).toBeLessThanOrEqual(1);
  });

  it('returns each result exactly once, page by page', async () => {
    const all = await search({ text: 'a car', top_k: 10 });
    expect(all).toHaveLength(6);
    const pages = [];
    for (const offset of [0, 2, 4, 6]) pages.push(...(await search({ text: 'a car', top_k: 2, offset })));
    expect(pages).toEqual(all);
  });

  it('omits results below the minimum score', async () => {
    const all = await search({ text: 'a red car', top_k: 10 });
    const third = all[2]?.score ?? 1;
    expect(await search({ text: 'a red car', top_k: 10, min_score: third })).toEqual(all.slice(0, 3));
    expect(await search({ text: 'a bird', min_score: 1 })).toEqual([]);
  });

  it('includes the requested fields', async () => {
    const [bare] = await search({ id: 'a cat', include: [] });
    expect(Object.keys(bare ?? {}).sort()).toEqual(['id', 'modal_type', 'score']);
    const [full] = await search({ text: 'a cat', include: ['metadata', 'embedding'] });
    expect(full).toMatchObject({ id: 'a cat', metadata: { text: 'a cat' } });
    expect(full?.embedding).toHaveLength(256);
  });

  it.each([
    ['nothing', {}, 400, 'invalid_request', ''],
    ['two kinds of query', { text: 'a', id: 'b' }, 400, 'invalid_request', ''],
    ['a mix beside a text', { text: 'a', mix: [{ text: 'b' }] }, 400, 'invalid_request', 'mix'],
    ['a term without content', { mix: [{ weight: 2 }] }, 400, 'invalid_request', 'mix.0'],
    ['a term of two inputs', { mix: [{ text: 'a' }, { text: 'a', id: 'b' }] }, 400, 'invalid_request', 'mix.1'],
    ['a mix in a mix', { mix: [{ mix: [] }] }, 400, 'invalid_request', 'mix.0.mix'],
    ['a weight that is text', { mix: [{ text: 'a', weight: '1' }] }, 400, 'invalid_request', 'mix.0.weight'],
    ['terms that cancel out', { mix: [{ text: 'a' }, { text: 'a', weight: -1 }] }, 422, 'not_normalizable', undefined],
    ['an unknown item', { id: 'nobody' }, 404, 'not_found', undefined],
    ['a page beyond the limit', { text: 'a', offset: 999, top_k: 2 }, 400, 'invalid_request', 'offset'],
    ['an unknown inclusion', { text: 'a', include: ['vector'] }, 400, 'invalid_request', 'include.0'],
    ['an impossible score', { text: 'a', min_score: 2 }, 400, 'invalid_request', 'min_score'],
  ])('refuses %s', async (_, body, status, code, field) => {
    const problem = await problemOf(await server.json('/retrieve', body));
    expect(problem).toMatchObject({ status, code, ...(field === undefined ? {} : { field }) });
  });

  it('refuses a request without a body', async () => {
    const response = await fetch(`${server.url}/retrieve`, { method: 'POST' });
    expect(await problemOf(response)).toMatchObject({ status: 400, code: 'empty_body' });
  });
});
