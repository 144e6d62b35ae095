import { readdir, rename } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { bucketOf } from '../../src/rollout/bucket.js';
import { jpeg, mp4 } from '../media-files.js';
import { ModelCopies, NEXT, THIS } from '../model-copies.js';
import { problemOf, startServer, type TestServer } from '../server.js';

interface Status {
  phase: string;
  default: { id: string; items: number };
  candidate?: { id: string; items: number; loaded: boolean };
  previous?: { id: string; items: number; loaded: boolean };
  missed: { count: number; ids: string[] };
  comparisons: { count: number; overlap_at_10: number };
}

const [OLD, NEW] = [THIS, NEXT];

let copies: ModelCopies;
/** Another revision of the bundled model. */
let next: string;
let dataDir: string;
let server: TestServer;

beforeAll(async () => {
  copies = await ModelCopies.open();
  next = await copies.make({ revision: 'next', flip: 8 });
});
afterAll(() => copies.close());

beforeEach(async () => {
  server = await startServer();
  dataDir = server.dataDir;
});
afterEach(() => server.close());

/** Stops the service and starts it on the same data. */
async function restart(settings: Record<string, string> = {}): Promise<void> {
  await server.app.close();
  const again = await startServer({ ...settings, DATA_DIR: dataDir });
  server = { ...again, close: server.close };
}

async function admin(method: string, route = '', body?: object): Promise<Response> {
  const headers: Record<string, string> = body === undefined ? {} : { 'content-type': 'application/json' };
  const url = `${server.url}/admin/rollout${route}`;
  return fetch(url, { method, headers, body: body === undefined ? null : JSON.stringify(body) });
}

async function done(method: string, route = '', body?: object): Promise<Status> {
  const response = await admin(method, route, body);
  const status = await response.json();
  expect(status).not.toHaveProperty('code');
  return status as Status;
}

const start = (shares: object = {}) => done('POST', '', { model: next, ...shares });
const put = (id: string, text = `a thing called ${id}`) => server.json('/items', { id, text });

async function search(text: string, key?: string): Promise<{ ids: string[]; model: string | null }> {
  const headers = { 'content-type': 'application/json', ...(key === undefined ? {} : { 'x-rollout-key': key }) };
  const response = await fetch(`${server.url}/retrieve`, { method: 'POST', headers, body: JSON.stringify({ text }) });
  const { results } = (await response.json()) as { results: { id: string }[] };
  return { ids: results.map(({ id }) => id), model: response.headers.get('x-onespace-model') };
}

async function idsIn(model: string): Promise<string[]> {
  const { items } = (await (await fetch(`${server.url}/items?model=${model}`)).json()) as { items: { id: string }[] };
  return items.map(({ id }) => id);
}

async function metric(name: string): Promise<number> {
  const text = await (await fetch(`${server.url}/metrics`)).text();
  return Number(
    text
      .split('\n')
      .find((line) => line.startsWith(`${name} `))
      ?.split(' ')
      .at(-1),
  );
}

/** Breaks the candidate for real: its threads end, and it embeds nothing any more. */
async function breakCandidate(): Promise<void> {
  await server.app.service.models.get(NEW).encoder.close();
}

describe('a rollout', () => {
  it('goes from shadow to a share to the promotion and back, while the service goes on', async () => {
    expect(await start()).toMatchObject({ phase: 'candidate', default: { id: OLD }, candidate: { id: NEW, items: 0 } });
    expect((await put('one')).headers.get('x-onespace-model')).toBe(OLD);
    await put('two');

    expect((await search('one', 'anybody')).model).toBe(OLD);
    await done('PATCH', '', { share_percent: 30 });
    const keys = Array.from({ length: 60 }, (_, i) => `caller ${i}`);
    const expected = keys.map((key) => (bucketOf(key, 'share') < 30 ? NEW : OLD));
    const answered = [];
    for (const key of keys) answered.push((await search('a thing', key)).model);
    expect(answered).toEqual(expected);
    expect(new Set(expected).size).toBe(2);

    expect(await done('POST', '/promote')).toMatchObject({
      phase: 'promoted',
      default: { id: NEW, items: 2 },
      previous: { id: OLD, items: 2 },
    });
    expect(await search('a thing called one')).toEqual({ ids: ['one', 'two'], model: NEW });
    expect((await put('three')).headers.get('x-onespace-model')).toBe(NEW);
    expect(await (await fetch(`${server.url}/health`)).json()).toMatchObject({ model: { revision: 'next' } });

    expect(await done('POST', '/rollback')).toMatchObject({ phase: 'candidate', default: { id: OLD, items: 3 } });
    expect((await search('three')).model).toBe(OLD);
    expect((await search('a thing called three')).ids[0]).toBe('three');
    expect(await done('DELETE')).toMatchObject({ phase: 'none', default: { id: OLD, items: 3 } });
    expect(await problemOf(await server.json('/embed', { text: 'a', model: NEW }))).toMatchObject({ status: 404 });
    await put('four');
    expect(await idsIn(OLD)).toEqual(['four', 'one', 'three', 'two']);
  });

  it('writes to both indexes: texts, files, replacements, deletions', async () => {
    await start();
    const [red, clip] = [await jpeg('red'), await mp4()];
    await put('gone');
    await put('text', 'before');
    await put('text', 'after');
    expect((await server.form('/items', { id: 'image', 'red.jpg': red })).status).toBe(201);
    expect((await server.form('/items', { id: 'video', 'clip.mp4': clip })).status).toBe(201);
    expect((await server.form('/items', { id: 'both', text: 'words', 'red.jpg': red })).status).toBe(201);
    expect((await fetch(`${server.url}/items/gone`, { method: 'DELETE' })).status).toBe(204);
    for (const model of [OLD, NEW]) expect(await idsIn(model)).toEqual(['both', 'image', 'text', 'video']);
    const stored = async (model: string) => {
      const reply = await fetch(`${server.url}/items/text?model=${model}&include=embedding`);
      return (await reply.json()) as { embedding: number[]; metadata: object };
    };
    const [mine, theirs] = [await stored(OLD), await stored(NEW)];
    expect(theirs.metadata).toEqual({ text: 'after' });
    expect(theirs.embedding).not.toEqual(mine.embedding);
    const { embedding } = (await (await server.json('/embed', { text: 'after', model: NEW })).json()) as typeof mine;
    expect(theirs.embedding).toEqual(embedding);
    expect(await readdir(path.join(dataDir, 'spool'))).toEqual([]);
    expect(await metric('onespace_rollout_writes_total{outcome="mirrored"}')).toBe(7);
  });

  it('writes many at once to both, and deletes by filter and by ids from both', async () => {
    await start();
    const items = Array.from({ length: 12 }, (_, i) => ({
      id: `item ${i}`,
      text: `thing ${i}`,
      metadata: { even: i % 2 === 0 },
    }));
    const reply = await server.json('/items', [...items, { id: 'empty', text: ' ' }]);
    const { results } = (await reply.json()) as { results: object[] };
    expect(results.filter((result) => 'error' in result)).toHaveLength(1);
    const remove = async (body: object) => {
      const headers = { 'content-type': 'application/json' };
      const options = { method: 'DELETE', headers, body: JSON.stringify(body) };
      return (await fetch(`${server.url}/items`, options)).json();
    };
    expect(await remove({ filter: { even: true } })).toEqual({ deleted: 6 });
    expect(await remove({ ids: ['item 1', 'item 3', 'nothing'] })).toEqual({ deleted: 2 });
    for (const model of [OLD, NEW]) expect(await idsIn(model)).toEqual(['item 11', 'item 5', 'item 7', 'item 9']);
    expect((await done('GET')).missed.count).toBe(0);
  });

  it('has both indexes end with the same version of an item, however many writers there are', async () => {
    await start();
    const writes = Array.from({ length: 60 }, (_, i) => put(`item ${i % 3}`, `version ${i} ${'long '.repeat(i % 7)}`));
    await Promise.all(writes);
    for (const id of ['item 0', 'item 1', 'item 2']) {
      const versions = await Promise.all(
        [OLD, NEW].map(async (model) => {
          const reply = await fetch(`${server.url}/items/${encodeURIComponent(id)}?model=${model}`);
          return ((await reply.json()) as { metadata: object }).metadata;
        }),
      );
      expect(versions[1]).toEqual(versions[0]);
    }
    expect((await done('GET')).missed.count).toBe(0);
  });

  it('compares what both models find, after the reply', async () => {
    await start();
    for (let i = 0; i < 30; i++) await put(`item ${i}`, `number ${i} ${i % 2 === 0 ? 'cat' : 'bicycle'}`);
    for (let i = 0; i < 8; i++) {
      await search(`a cat of number ${i}`);
      await expect.poll(async () => (await done('GET')).comparisons.count).toBe(i + 1);
    }
    const { comparisons } = await done('GET');
    expect(comparisons).toMatchObject({
      default_ms: { p50: expect.any(Number) },
      candidate_ms: { p95: expect.any(Number) },
    });
    expect(comparisons.overlap_at_10).toBeGreaterThan(0.1);
    expect(comparisons.overlap_at_10).toBeLessThanOrEqual(1);
    expect(await metric('onespace_rollout_overlap_at_10_count')).toBe(8);
    expect(await metric('onespace_rollout_search_seconds_count{side="candidate"}')).toBe(8);
    await done('PATCH', '', { shadow_percent: 0 });
    await search('a cat');
    expect(await metric('onespace_rollout_comparisons_total{outcome="compared"}')).toBe(8);
  });

  it('gives a search with a ready vector, and one that names a model, to no other model', async () => {
    await start({ share_percent: 100 });
    await put('one');
    const { embedding } = (await (await server.json('/embed', { text: 'one' })).json()) as { embedding: number[] };
    const model = async (body: object) => (await server.json('/retrieve', body)).headers.get('x-onespace-model');
    expect(await model({ text: 'one' })).toBe(NEW);
    expect(await model({ embedding })).toBe(OLD);
    expect(await model({ text: 'one', model: OLD })).toBe(OLD);
    expect((await server.json('/embed', { text: 'one' })).headers.get('x-onespace-model')).toBe(OLD);
  });
});

describe('a candidate that fails', () => {
  it('fails no caller; what it missed is known, also after a restart, and keeps it from being promoted', async () => {
    await start({ share_percent: 100 });
    await put('before');
    await breakCandidate();
    expect((await put('missed')).status).toBe(201);
    expect((await server.form('/items', { id: 'clip', 'clip.mp4': await mp4() })).status).toBe(201);
    expect(await search('before')).toEqual({ ids: ['before', 'missed', 'clip'], model: OLD });
    expect(await metric('onespace_rollout_reads_total{outcome="fallback"}')).toBe(1);
    expect(await metric('onespace_rollout_missed_items')).toBe(2);
    expect(await readdir(path.join(dataDir, 'spool'))).toEqual([]);

    await restart();
    const status = await done('GET');
    expect(status.missed.count).toBe(2);
    expect(status.missed.ids.sort()).toEqual(['clip', 'missed']);
    const refusal = await problemOf(await admin('POST', '/promote'));
    expect(refusal).toMatchObject({ status: 409, code: 'candidate_incomplete', lacking: 2, missed: 2 });

    await put('missed');
    await server.form('/items', { id: 'clip', 'clip.mp4': await mp4() });
    expect(await done('POST', '/promote')).toMatchObject({ phase: 'promoted', default: { id: NEW, items: 3 } });
  });

  it('is not promoted while it lacks what was stored before, unless forced', async () => {
    await put('old');
    await start();
    await put('new');
    const refusal = await problemOf(await admin('POST', '/promote'));
    expect(refusal).toMatchObject({ code: 'candidate_incomplete', lacking: 1, missed: 0, ids: ['old'] });
    expect(await done('POST', '/promote?force=true')).toMatchObject({ default: { id: NEW, items: 1 } });
    expect(await done('POST', '/rollback')).toMatchObject({ default: { id: OLD, items: 2 } });
  });

  it('cannot have a ready vector from another model', async () => {
    await start();
    const { embedding } = (await (await server.json('/embed', { text: 'a' })).json()) as { embedding: number[] };
    expect((await server.json('/items', { id: 'ready', embedding })).status).toBe(201);
    expect((await done('GET')).missed).toEqual({ count: 1, ids: ['ready'] });
  });

  it('does not keep the service from starting when its files are gone', async () => {
    await start();
    await rename(next, `${next}-away`);
    await restart();
    await rename(`${next}-away`, next);
    expect(await done('GET')).toMatchObject({ phase: 'candidate', candidate: { id: NEW, loaded: false } });
    expect((await put('one')).status).toBe(201);
    expect((await done('GET')).missed.count).toBe(1);
    expect(await problemOf(await admin('POST', '/promote'))).toMatchObject({ code: 'rollout_conflict' });
    expect(await done('DELETE')).toMatchObject({ phase: 'none' });
  });

  it('is refused with the reason when it is no model', async () => {
    const missing = await problemOf(await admin('POST', '', { model: './no/such/folder' }));
    expect(missing).toMatchObject({ status: 422, code: 'model_not_usable' });
    expect(missing.detail).toContain('There is no model');
    expect(await problemOf(await admin('POST', '', { model: 'onespace-mini' }))).toMatchObject({
      status: 409,
      code: 'rollout_conflict',
    });
    for (const [method, route] of [
      ['POST', '/promote'],
      ['POST', '/rollback'],
      ['DELETE', ''],
    ] as const) {
      expect(await problemOf(await admin(method, route))).toMatchObject({ code: 'rollout_conflict' });
    }
  });
});

describe('a restart', () => {
  it('finds the rollout where it was, in every phase', async () => {
    await start({ share_percent: 25, shadow_percent: 50 });
    await put('one');
    await restart();
    const candidate = { id: NEW, items: 1, loaded: true };
    expect(await done('GET')).toMatchObject({ candidate, share_percent: 25, shadow_percent: 50 });
    await put('two');
    await done('POST', '/promote');
    await restart();
    expect(await done('GET')).toMatchObject({ default: { id: NEW, items: 2 }, previous: { id: OLD, items: 2 } });
    await done('DELETE');
    await restart();
    expect(await done('GET')).toMatchObject({ phase: 'none', default: { id: NEW, items: 2 } });
    expect((await search('two')).model).toBe(NEW);
    const { data } = (await (await fetch(`${server.url}/v1/models`)).json()) as { data: { revision: string }[] };
    expect(data.map(({ revision }) => revision)).toEqual(['next']);
  });

  it('with the promoted model in the settings keeps its index', async () => {
    await start();
    await put('one');
    await done('POST', '/promote');
    await restart({ MODEL: next });
    expect(await done('GET')).toMatchObject({ phase: 'none', default: { id: NEW, items: 1 } });
  });
});

describe('a candidate that is served already', () => {
  it('stays when the rollout ends', async () => {
    const other = await copies.make({ name: 'other', revision: '7', flip: 8 });
    await restart({ MODELS: `onespace-mini,${other}` });
    await done('POST', '', { model: 'other' });
    await put('one');
    await done('POST', '/promote');
    expect(await done('DELETE')).toMatchObject({ phase: 'none', default: { id: 'other@7', items: 1 } });
    expect(await idsIn('onespace-mini')).toEqual(['one']);
    expect(await idsIn('other')).toEqual(['one']);
  });
});
