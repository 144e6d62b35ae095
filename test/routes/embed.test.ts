import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { jpeg, mp4 } from '../media-files.js';
import { dot, problemOf, startServer, type TestServer } from '../server.js';

interface Embedded {
  embedding: number[];
  dim: number;
  modal_type: string;
  filename?: string;
  tokens: number;
  truncated: boolean;
}
interface Many {
  results: (Embedded & { error?: { code: string; status: number } })[];
}

let server: TestServer;
let clip: Buffer;

beforeAll(async () => {
  [server, clip] = await Promise.all([startServer({ MAX_UPLOAD_MB: '2', CACHE_MB: '1' }), mp4()]);
});
afterAll(() => server.close());

async function embedded(response: Response): Promise<Embedded> {
  expect(response.status).toBe(200);
  const reply = (await response.json()) as Embedded;
  expect(reply.embedding).toHaveLength(reply.dim);
  expect(Math.hypot(...reply.embedding)).toBeCloseTo(1, 6);
  return reply;
}

describe('POST /embed/text', () => {
  it('returns a unit vector, the same for JSON and for the query string', async () => {
    const fromJson = await embedded(await server.json('/embed/text', { text: 'a red car' }));
    expect(fromJson).toMatchObject({ dim: 256, modal_type: 'text', truncated: false });
    const fromQuery = await embedded(await fetch(`${server.url}/embed/text?text=a%20red%20car`, { method: 'POST' }));
    expect(fromQuery.embedding).toEqual(fromJson.embedding);
  });

  it('returns the vectors of several texts in order, each equal to that of the text alone', async () => {
    const texts = ['a cat', '红色汽车', 'a cat', 'ein Hund'];
    const { results } = (await (await server.json('/embed/text', { text: texts })).json()) as Many;
    for (const [i, text] of texts.entries()) {
      const alone = await embedded(await server.json('/embed/text', { text }));
      expect(dot(results[i]?.embedding ?? [], alone.embedding)).toBeGreaterThan(1 - 1e-5);
    }
  });

  it('reports text that was truncated at the limit of the model', async () => {
    const long = await embedded(await server.json('/embed/text', { text: 'one two three four '.repeat(50) }));
    expect(long).toMatchObject({ truncated: true, tokens: 64 });
  });

  it('reports the error of one text at its position', async () => {
    const { results } = (await (await server.json('/embed/text', { text: ['a cat', '  \n '] })).json()) as Many;
    expect(results[0]?.embedding).toHaveLength(256);
    expect(results[1]?.error).toMatchObject({ code: 'invalid_request', status: 400 });
  });

  it.each([
    ['malformed JSON', '{"text":', 400, 'invalid_json'],
    ['an empty body', '', 400, 'empty_body'],
    ['a number', { text: 5 }, 400, 'invalid_request'],
    ['an empty text', { text: '' }, 400, 'invalid_request'],
    ['a blank text', { text: ' \t ' }, 400, 'invalid_request'],
    ['no texts', { text: [] }, 400, 'invalid_request'],
    ['an unknown field', { text: 'cat', txt: 'dog' }, 400, 'invalid_request'],
    ['too many texts', { text: Array(257).fill('cat') }, 400, 'invalid_request'],
  ])('refuses %s', async (_, body, status, code) => {
    const problem = await problemOf(await server.json('/embed/text', body));
    expect(problem).toMatchObject({ status, code });
  });

  it('refuses an unsupported content type', async () => {
    const headers = { 'content-type': 'text/plain' };
    const response = await fetch(`${server.url}/embed/text`, { method: 'POST', headers, body: 'a cat' });
    expect(await problemOf(response)).toMatchObject({ status: 415, code: 'unsupported_media' });
  });
});

describe('POST /embed/image', () => {
  it('returns the same vector for multipart and for a raw body, with the file name where there is one', async () => {
    const red = await jpeg('red');
    const fromForm = await embedded(await server.form('/embed/image', { 'red.jpg': red }));
    expect(fromForm).toMatchObject({ modal_type: 'image', filename: 'red.jpg' });
    const headers = { 'content-type': 'image/jpeg' };
    const raw = await fetch(`${server.url}/embed/image`, { method: 'POST', headers, body: new Uint8Array(red) });
    expect((await embedded(raw)).embedding).toEqual(fromForm.embedding);
  });

  it('recognises a file by its content, not by its content type', async () => {
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    const body = new Uint8Array(await jpeg('green'));
    await embedded(await fetch(`${server.url}/embed/image`, { method: 'POST', headers, body }));
  });

  it('embeds several files, and reports each error at its position', async () => {
    const files = {
      'a.jpg': await jpeg('red'),
      'b.txt': Buffer.from('hello'),
      'c.mp4': clip,
      'd.jpg': await jpeg('blue'),
    };
    const { results } = (await (await server.form('/embed/image', files)).json()) as Many;
    expect(results.map(({ error, modal_type }) => error?.code ?? modal_type)).toEqual([
      'image',
      'unsupported_media',
      'wrong_modality',
      'image',
    ]);
  });

  it.each([
    ['a text file', { 'a.jpg': Buffer.from('this is not a picture') }, 415, 'unsupported_media'],
    ['an empty file', { 'a.jpg': Buffer.alloc(0) }, 400, 'empty_body'],
    ['a form without a file', { note: 'no file here' }, 400, 'empty_body'],
    [
      'a file over the limit',
      { 'a.jpg': Buffer.concat([Buffer.from([0xff, 0xd8, 0xff, 0xe0]), Buffer.alloc(3e6)]) },
      413,
      'too_large',
    ],
  ])('refuses %s', async (_, files, status, code) => {
    expect(await problemOf(await server.form('/embed/image', files as never))).toMatchObject({ status, code });
  });

  it('refuses a video, and names the right route', async () => {
    const problem = await problemOf(await server.form('/embed/image', { 'clip.mp4': clip }));
    expect(problem).toMatchObject({ status: 415, code: 'wrong_modality' });
    expect(problem.detail).toContain('/embed/video');
  });

  it('refuses an empty body and a truncated image, and keeps serving', async () => {
    const empty = await fetch(`${server.url}/embed/image`, { method: 'POST' });
    expect(await problemOf(empty)).toMatchObject({ status: 400, code: 'empty_body' });
    const cut = (await jpeg('navy', 900, 900)).subarray(0, 1500);
    expect(await problemOf(await server.form('/embed/image', { 'cut.jpg': cut }))).toMatchObject({
      status: 422,
      code: 'broken_media',
    });
    await embedded(await server.form('/embed/image', { 'red.jpg': await jpeg('red') }));
  });
});

describe('POST /embed/video', () => {
  it('embeds a video with its time: reversed, it gets another vector', async () => {
    const growing = await mp4('color=red:duration=2:size=128x128:rate=10,fade=in:0:20');
    const shrinking = await mp4('color=red:duration=2:size=128x128:rate=10,fade=out:0:20');
    const one = await embedded(await server.form('/embed/video', { 'a.mp4': growing }));
    const other = await embedded(await server.form('/embed/video', { 'b.mp4': shrinking }));
    expect(one).toMatchObject({ modal_type: 'video', filename: 'a.mp4' });
    expect(dot(one.embedding, other.embedding)).toBeLessThan(0.999);
  });

  it('refuses a truncated MP4 and a still image', async () => {
    const cut = clip.subarray(0, clip.length / 2);
    expect(await problemOf(await server.form('/embed/video', { 'cut.mp4': cut }))).toMatchObject({
      status: 422,
      code: 'broken_media',
    });
    const still = await server.form('/embed/video', { 'a.jpg': await jpeg('red') });
    expect(await problemOf(still)).toMatchObject({ status: 415, code: 'wrong_modality' });
  });
});

describe('every reply', () => {
  it('reports the time of each stage', async () => {
    const response = await server.form('/embed/image', { 'teal.jpg': await jpeg('teal') });
    expect(response.headers.get('server-timing')).toMatch(
      /receive;dur=.*decode;dur=.*serialise;dur=.*queue;dur=.*inference;dur=/,
    );
  });

  it('answers an unknown route with 404 and a problem document', async () => {
    expect(await problemOf(await fetch(`${server.url}/nothing/here?a=1`))).toMatchObject({
      status: 404,
      code: 'not_found',
    });
  });
});
