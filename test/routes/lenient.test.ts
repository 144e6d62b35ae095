import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { jpeg, mp4 } from '../media-files.js';
import { problemOf, startServer, type TestServer } from '../server.js';

let server: TestServer;
let red: Buffer;
let clip: Buffer;

beforeAll(async () => {
  [server, red, clip] = await Promise.all([startServer(), jpeg('red'), mp4()]);
});
afterAll(() => server.close());

const json = async (route: string, body: unknown) => {
  const reply = await server.json(route, body);
  return { status: reply.status, body: await reply.json() };
};

/** A multipart form, byte by byte: each part with its headers after the name. */
const form = (route: string, ...parts: [name: string, headers: string, content: string | Buffer][]) => {
  const boundary = 'a-boundary';
  const body = parts.flatMap(([name, headers, content]) => [
    `--${boundary}\r\ncontent-disposition: form-data; name="${name}"${headers}\r\n\r\n`,
    content,
    '\r\n',
  ]);
  const bytes = Buffer.concat([...body, `--${boundary}--\r\n`].map((piece) => Buffer.from(piece)));
  const headers = { 'content-type': `multipart/form-data; boundary=${boundary}` };
  return fetch(server.url + route, { method: 'POST', headers, body: bytes });
};
const JSON_TYPE = '\r\ncontent-type: application/json';

describe('a part of a form with a type of its own', () => {
  it.each([
    ['without a file name', JSON_TYPE],
    ['with a charset', `${JSON_TYPE}; charset=utf-8`],
    ['as a file', `; filename="m.json"${JSON_TYPE}`],
    ['as a text file', '; filename="m.txt"\r\ncontent-type: text/plain'],
  ])('is the JSON of a field, %s', async (_, headers) => {
    const reply = await form('/items', ['file', '; filename="red.jpg"', red], ['metadata', headers, '{"a": [1, "x"]}']);
    expect(reply.status).toBe(201);
    expect(await reply.json()).toMatchObject({ metadata: { a: [1, 'x'], filename: 'red.jpg' } });
  });

  it.each([
    ['JSON', JSON_TYPE],
    ['a file', '; filename="caption.txt"\r\ncontent-type: text/plain; charset=utf-8'],
  ])('stays the text that was sent, as %s', async (_, headers) => {
    const text = '{"a" :  1}';
    const reply = await form('/items', ['text', headers, text]);
    expect(reply.status).toBe(201);
    expect(await reply.json()).toMatchObject({ modal_type: 'text', metadata: { text } });
  });

  it('is refused by name where it is no JSON, or too long, and never cut', async () => {
    const broken = await problemOf(await form('/items', ['text', '', 'a'], ['metadata', JSON_TYPE, '{"a":']));
    expect(broken).toMatchObject({ code: 'invalid_json', field: 'metadata' });
    for (const headers of ['', JSON_TYPE]) {
      const long = await problemOf(await form('/embed', ['text', headers, 'a '.repeat(600_000)]));
      expect(long).toMatchObject({ code: 'too_large', detail: expect.stringContaining('"text"') });
    }
  });
});

describe('null in JSON', () => {
  it.each([
    [
      '/v1/embeddings',
      { model: null, input: ['a'], encoding_format: null, dimensions: null, user: null, messages: null },
    ],
    ['/embed/text', { text: 'a', role: null, model: null }],
    ['/embed', { text: null, parts: [{ text: 'a', image: null }], video: null }],
    ['/retrieve', { text: 'a', image: null, filter: null, top_k: null, include: null, modal_type: null }],
    ['/items', [{ id: null, text: 'a', metadata: null, embedding: null }]],
  ])('means absent, in %s', async (route, body) => {
    const reply = await json(route, body);
    expect(reply).toMatchObject({ status: 200 });
    expect(JSON.stringify(reply.body)).not.toContain('"error"');
  });

  it('stays null in metadata, and is no entry of a list', async () => {
    const stored = await json('/items', { text: 'a', metadata: { colour: null } });
    expect(stored.body).toMatchObject({ metadata: { colour: null } });
    expect(await json('/retrieve', { text: 'a', include: [null] })).toMatchObject({ status: 400 });
    expect(await json('/embed/text', { text: null })).toMatchObject({ status: 400 });
  });
});

describe('a wrong entry of a batch', () => {
  const WRONG = ['', 7, null, { text: 'a' }, ['a'], 'x'.repeat(1_000_001)];

  it('of texts has its own error, and the others are done', async () => {
    const { status, body } = await json('/embed/text', { text: ['a cat', ...WRONG, 'a dog'] });
    expect(status).toBe(200);
    expect(body.results.map((one: { error?: { code: string } }) => one.error?.code)).toEqual([
      undefined,
      ...WRONG.map(() => 'invalid_request'),
      undefined,
    ]);
    expect(body.results[1].error).toMatchObject({ field: 'text.1', detail: 'body.text.1 must not be empty.' });
  });

  it('of items has its own error, and the others are stored', async () => {
    const { status, body } = await json('/items', [
      { id: 'good-1', text: 'a' },
      { id: 'empty', text: '' },
      { id: 'typo', txt: 'a' },
      { id: 'control\u0007', text: 'a' },
      'a',
      { refused: { code: 'internal', detail: 'forged' } },
      { id: 'good-2', text: 'b' },
    ]);
    expect(status).toBe(200);
    const said = body.results.map((one: { id?: string; error?: { detail: string } }) => one.id ?? one.error?.detail);
    expect(said).toEqual([
      'good-1',
      'body.1.text must not be empty.',
      'body.2.txt is not a field of this request.',
      expect.stringContaining('body.3.id'),
      expect.stringContaining('body.4 must be object'),
      'body.5.refused is not a field of this request.',
      'good-2',
    ]);
    expect((await fetch(`${server.url}/items/good-2`)).status).toBe(200);
  });

  it('is told in a body that is read in a thread of its own too', async () => {
    const long = 'a '.repeat(300_000);
    const items = await json('/items', [
      ...Array(5).fill({ text: long }),
      { txt: long },
      { text: '' },
      { id: 'last', text: 'b' },
    ]);
    expect(items.status).toBe(200);
    const codes = items.body.results.map((one: { id?: string; error?: object }) =>
      one.error === undefined ? 'ok' : 'error',
    );
    expect(codes).toEqual([...Array(5).fill('ok'), 'error', 'error', 'ok']);
    const texts = await json('/embed/text', { text: [long, long, '', 'a'] });
    expect(texts.body.results.map((one: { error?: { field: string } }) => one.error?.field)).toEqual([
      undefined,
      undefined,
      'text.2',
      undefined,
    ]);
  });

  it("is named in OpenAI's interface, which has no errors of entries", async () => {
    const { status, body } = await json('/v1/embeddings', { input: ['ok', ''] });
    expect({ status, field: body.field }).toEqual({ status: 400, field: 'input.1' });
  });
});

describe('a deletion', () => {
  it.each([
    [{ ids: [] }, 'body.ids must not be empty.'],
    [{ filter: {} }, /^body\.filter/],
    [{ idz: ['a'] }, 'The body needs filter or ids.'],
  ])('of %j says what is wrong', async (body, detail) => {
    const reply = await fetch(`${server.url}/items`, {
      method: 'DELETE',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    const expected = detail instanceof RegExp ? expect.stringMatching(detail) : detail;
    expect(await problemOf(reply)).toMatchObject({ status: 400, detail: expected });
  });
});

describe('a long text as an item', () => {
  it.each([
    ['ASCII', 'word '.repeat(14_000)],
    ['Chinese', '汽车'.repeat(20_000)],
    ['emoji', '😀'.repeat(30_000)],
    ['quotes', '"\\\n'.repeat(30_000)],
    ['control characters', '\u0001'.repeat(30_000)],
  ])('of %s is stored, with as much of it as metadata hold', async (_, text) => {
    const { status, body } = await json('/items', { id: 'long', text, metadata: { source: 'a book' } });
    expect(status).toBe(201);
    const kept = body.metadata.text as string;
    expect(body.metadata.source).toBe('a book');
    expect(kept.endsWith('…') && text.startsWith(kept.slice(0, -1))).toBe(true);
    const bytes = Buffer.byteLength(JSON.stringify(body.metadata));
    expect(bytes).toBeLessThanOrEqual(64 * 1024);
    expect(bytes).toBeGreaterThan(60 * 1024);
    expect(Buffer.from(kept).toString()).toBe(kept);
  });

  it('is refused where metadata that were sent are too long', async () => {
    const reply = await server.json('/items', { text: 'a', metadata: { long: 'x'.repeat(70_000) } });
    expect(await problemOf(reply)).toMatchObject({ status: 413 });
  });
});

describe('a data: URL', () => {
  const base64 = () => red.toString('base64');
  it.each([
    ['with parameters', () => `data:image/jpeg;name=a.jpg;base64,${base64()}`],
    ['in capitals, without a type', () => `DATA:;BASE64,${base64()}`],
    ['with spaces before its data', () => `data:image/jpeg; base64 ,${base64()}`],
    ['in lines', () => `data:image/jpeg;base64,${base64().replace(/.{76}/g, '$&\r\n')}`],
    ['without padding', () => `data:image/jpeg;base64,${base64().replace(/=+$/, '')}`],
    ['with escapes', () => `data:image/jpeg;base64,${encodeURIComponent(base64())}`],
    ['with a fragment', () => `data:image/jpeg;base64,${base64()}#top`],
    ['of bytes', () => `data:image/jpeg,${[...red].map((b) => `%${b.toString(16).padStart(2, '0')}`).join('')}`],
  ])('%s is read as browsers do', async (_, url) => {
    const [plain, other] = await Promise.all(
      [`data:image/jpeg;base64,${base64()}`, url()].map((image) => json('/embed', { image })),
    );
    expect(other).toMatchObject({ status: 200, body: { embedding: plain?.body.embedding } });
  });

  it('of a recorder, which names two codecs, is read', async () => {
    const video = `data:video/webm;codecs=vp8,opus;base64,${clip.toString('base64')}`;
    expect(await json('/embed', { video })).toMatchObject({ status: 200, body: { modal_type: 'video' } });
  });

  it.each(['data:image/png', 'data:;base64,a*b', 'data:;base64,ä', 'data:text/plain,ü'])(
    '%s is refused',
    async (image) => {
      expect(await json('/embed', { image })).toMatchObject({ status: 400, body: { field: 'image' } });
    },
  );
});
