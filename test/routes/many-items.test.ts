import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { jpeg, mp4 } from '../media-files.js';
import { problemOf, startServer, type TestServer } from '../server.js';

interface Stored {
  id: string;
  modal_type: string;
  metadata: Record<string, unknown>;
}
interface Results {
  results: (Stored | { error: { code: string; status: number; detail: string; request_id: string } })[];
}

let server: TestServer;
let clip: Buffer;
let red: Buffer;

beforeAll(async () => {
  [server, clip, red] = await Promise.all([startServer({ KEEP_ORIGINALS: 'true' }), mp4(), jpeg('red')]);
});
afterAll(() => server.close());

const vector = (seed: number) => Array.from({ length: 256 }, (_, i) => Math.sin(seed * (i + 1)));
const remove = (body: object) =>
  fetch(`${server.url}/items`, {
    method: 'DELETE',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
const get = async (id: string) => (await fetch(`${server.url}/items/${id}`)).status;
const indexFolder = () => path.join(server.dataDir, 'index', 'onespace-mini');
const originals = async () => {
  const names = await readdir(path.join(indexFolder(), 'originals'), { recursive: true });
  return names.filter((name) => /[0-9a-f]{64}$/.test(name)).map((name) => path.basename(name));
};
const sha256 = async (bytes: Uint8Array) =>
  Buffer.from(await crypto.subtle.digest('SHA-256', new Uint8Array(bytes))).toString('hex');

describe('many items in one request', () => {
  it('are stored in order, each with its own error', async () => {
    const reply = await server.json('/items', [
      { id: 'one', text: 'a red car', metadata: { group: 'a' } },
      { id: 'two', image: 'data:image/png;base64,aGVsbG8=' },
      { id: 'three', embedding: vector(3), modal_type: 'image', metadata: { group: 'a' } },
      { id: 'four', embedding: [1, 2] },
      { id: 'five', text: 'a dog', embedding: vector(5) },
      { id: 'six', text: 'x', metadata: { long: 'x'.repeat(70_000) } },
      { text: 'no id' },
    ]);
    expect(reply.status).toBe(200);
    const { results } = (await reply.json()) as Results;
    const short = results.map((one) => ('error' in one ? one.error.code : one.id));
    expect(short.slice(0, 6)).toEqual([
      'one',
      'unsupported_media',
      'three',
      'wrong_dimension',
      'invalid_request',
      'too_large',
    ]);
    expect(results[6]).toMatchObject({ modal_type: 'text', metadata: { text: 'no id' } });
    expect(results[0]).toEqual({ id: 'one', modal_type: 'text', metadata: { text: 'a red car', group: 'a' } });
    expect(await Promise.all(['one', 'two', 'three', 'four', 'five', 'six'].map(get))).toEqual([
      200, 404, 200, 404, 404, 404,
    ]);
  });

  it('are accepted as a form too, each with its id and metadata', async () => {
    const form = new FormData();
    form.set('items', JSON.stringify([{ id: 'f1', metadata: { n: 1 } }, {}, { id: 'f3' }, { id: 'f4' }]));
    form.append('file', new Blob([new Uint8Array(red)]), 'red.jpg');
    form.append('text', 'some words');
    form.append('file', new Blob(['not a picture']), 'notes.txt');
    form.append('file', new Blob([new Uint8Array(clip)]), 'clip.mp4');
    const reply = await fetch(`${server.url}/items`, { method: 'POST', body: form });
    expect(await reply.json()).toMatchObject({
      results: [
        { id: 'f1', modal_type: 'image', metadata: { filename: 'red.jpg', n: 1 } },
        { modal_type: 'text', metadata: { text: 'some words' } },
        { error: { code: 'unsupported_media', status: 415 } },
        { id: 'f4', modal_type: 'video', metadata: { filename: 'clip.mp4' } },
      ],
    });
  });

  it.each([
    ['another number of items than inputs', { items: '[{"id":"a"},{"id":"b"}]', text: 'one' }, 'items'],
    ['both an id and items', { items: '[{"id":"a"}]', id: 'b', text: 'one' }, 'items'],
    ['items that do not match the schema', { items: '[{"name":"a"}]', text: 'one' }, 'items.0.name'],
  ])('are refused as a whole for %s', async (_, form, field) => {
    expect(await problemOf(await server.form('/items', form))).toMatchObject({ code: 'invalid_request', field });
  });

  it.each([
    ['none', []],
    ['too many', Array(1001).fill({ id: 'a', text: 'b' })],
  ])('are refused as a whole when there are %s', async (_, body) => {
    expect(await problemOf(await server.json('/items', body))).toMatchObject({ code: 'invalid_request' });
  });

  it('are deleted by filter and by ids', async () => {
    const items = Array.from({ length: 30 }, (_, i) => ({
      id: `d${i}`,
      embedding: vector(i + 1),
      metadata: { half: i % 2 },
    }));
    expect(((await (await server.json('/items', items)).json()) as Results).results).toHaveLength(30);
    expect(await (await remove({ filter: { half: 1 } })).json()).toEqual({ deleted: 15 });
    expect(await (await remove({ ids: ['d0', 'd1', 'd2', 'nobody'] })).json()).toEqual({ deleted: 2 });
    expect(await get('d4')).toBe(200);
  });

  it.each([
    [{}],
    [{ filter: {} }],
    [{ filter: { year: { $near: 1 } } }],
    [{ ids: [] }],
    [{ filter: { a: 1 }, ids: ['a'] }],
  ])('are not deleted by %j', async (body) => {
    expect(await problemOf(await remove(body))).toMatchObject({ status: 400, code: 'invalid_request' });
  });
});

describe('KEEP_ORIGINALS', () => {
  it('keeps the source of an item until nothing refers to it', async () => {
    const green = await jpeg('green');
    const name = await sha256(green);
    await server.form('/items', { id: 'g1', 'green.jpg': green });
    await server.form('/items', { id: 'g2', text: 'beside', 'green.jpg': green });
    const file = path.join(indexFolder(), 'originals', name.slice(0, 2), name);
    expect(await readFile(file)).toEqual(green);
    await fetch(`${server.url}/items/g1`, { method: 'DELETE' });
    expect(await originals()).toContain(name);
    await server.json('/items', { id: 'g2', text: 'replaced' });
    await expect.poll(originals).not.toContain(name);
  });

  it('keeps no source of a refused item, and does not expose sources in replies', async () => {
    const before = await originals();
    const broken = Buffer.concat([Buffer.from(red.subarray(0, 200)), Buffer.alloc(100)]);
    expect((await server.form('/items', { id: 'broken', 'broken.jpg': broken })).status).toBe(422);
    await expect.poll(originals).toEqual(before);
    const item = await (await fetch(`${server.url}/items/f1`)).json();
    expect(Object.keys(item)).toEqual(['id', 'modal_type', 'metadata']);
    expect(item).toMatchObject({ id: 'f1', modal_type: 'image', metadata: { filename: 'red.jpg', n: 1 } });
  });

  it('refuses metadata that imitate a reference to an original', async () => {
    const reply = await server.json('/items', { text: 'a', metadata: { $original: [{ file: '../../etc/passwd' }] } });
    expect(await problemOf(reply)).toMatchObject({ status: 400, code: 'invalid_request' });
  });

  it('is refused with a store that has no folder for originals', async () => {
    await expect(
      startServer({ KEEP_ORIGINALS: 'true', STORE: 'chroma', DATA_DIR: path.join(server.dataDir, 'chroma') }),
    ).rejects.toThrow('KEEP_ORIGINALS needs STORE=faiss');
  });
});
