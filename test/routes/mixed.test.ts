import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RED_TO_BLUE } from '../../src/http/schemas/examples.js';
import { jpeg, mp4 } from '../media-files.js';
import { dot, problemOf, startServer, type TestServer } from '../server.js';

interface Embedded {
  embedding: number[];
  modal_type: string;
  tokens: number;
  filename?: string;
}

let server: TestServer;
let [red, clip]: Buffer[] = [];

beforeAll(async () => {
  [server, red, clip] = await Promise.all([startServer({ MAX_UPLOAD_MB: '2' }), jpeg('red'), mp4()]);
});
afterAll(() => server.close());

const dataUrl = (bytes: Buffer | undefined, type = 'image/jpeg') => `data:${type};base64,${bytes?.toString('base64')}`;
const picture = () => ({ image: dataUrl(red) });
const video = () => ({ video: dataUrl(clip, 'video/mp4') });

async function embed(body: object): Promise<Embedded> {
  const response = await server.json('/embed', body);
  expect(response.status).toBe(200);
  const reply = (await response.json()) as Embedded;
  expect(Math.hypot(...reply.embedding)).toBeCloseTo(1, 6);
  return reply;
}

async function embedForm(parts: [name: string, value: string | Buffer | undefined][]): Promise<Response> {
  const form = new FormData();
  for (const [name, value] of parts) {
    if (typeof value === 'string') form.append(name, value);
    else form.append(name, new Blob([new Uint8Array(value ?? [])]), `${name}.bin`);
  }
  return fetch(`${server.url}/embed`, { method: 'POST', body: form });
}

describe('POST /embed', () => {
  it('returns for one part the vector of its single-modality route', async () => {
    const alone = (await (await server.json('/embed/text', { text: 'a red car' })).json()) as Embedded;
    expect((await embed({ text: 'a red car' })).embedding).toEqual(alone.embedding);
    expect((await embed({ parts: [{ text: 'a red car' }] })).embedding).toEqual(alone.embedding);
    const file = (await (await server.form('/embed/image', { 'red.jpg': red as Buffer })).json()) as Embedded;
    expect((await embed(picture())).embedding).toEqual(file.embedding);
  });

  it('joins several parts into one sequence: its length is their sum, and its vector differs', async () => {
    const [words, image, film] = [await embed({ text: 'at night' }), await embed(picture()), await embed(video())];
    const both = await embed({ parts: [{ text: 'at night' }, picture()] });
    expect(both).toMatchObject({ modal_type: 'image', tokens: words.tokens + image.tokens });
    expect(dot(both.embedding, words.embedding)).toBeLessThan(0.999);
    expect(dot(both.embedding, image.embedding)).toBeLessThan(0.999);
    const all = await embed({ parts: [{ text: 'at night' }, picture(), video()] });
    expect(all).toMatchObject({ modal_type: 'video', tokens: words.tokens + image.tokens + film.tokens });
  });

  it('accepts the same parts as a form, in the order of its fields', async () => {
    const parts = [{ text: 'a dog' }, picture(), { text: 'bites a man' }];
    const turned = [{ text: 'bites a man' }, picture(), { text: 'a dog' }];
    const fromForm = await embedForm([
      ['text', 'a dog'],
      ['photo', red],
      ['text', 'bites a man'],
    ]);
    const { embedding, filename } = (await fromForm.json()) as Embedded;
    expect(filename).toBe('photo.bin');
    expect(embedding).toEqual((await embed({ parts })).embedding);
    expect(embedding).not.toEqual((await embed({ parts: turned })).embedding);
  });

  it('stores mixed input under the modality of its media, with its text', async () => {
    const body = { id: 'mixed', parts: [picture(), { text: 'a red wall' }] };
    expect(await (await server.json('/items', body)).json()).toMatchObject({
      id: 'mixed',
      modal_type: 'image',
      metadata: { text: 'a red wall' },
    });
  });

  it.each([
    ['nothing', {}, 400, 'invalid_request', undefined],
    ['two inputs', { text: 'a', parts: [{ text: 'b' }] }, 400, 'invalid_request', undefined],
    ['no parts', { parts: [] }, 400, 'invalid_request', 'parts'],
    ['too many parts', { parts: Array(17).fill({ text: 'a' }) }, 400, 'invalid_request', 'parts'],
    ['a part of two inputs', { parts: [{ text: 'a', image: 'data:,' }] }, 400, 'invalid_request', 'parts.0'],
    ['a URL of another scheme', { image: 'file:///etc/passwd' }, 400, 'invalid_request', 'image'],
    ['a URL on another host', { image: 'https://example.com/a.png' }, 403, 'url_not_allowed', 'image'],
    ['a data: URL without data', { image: 'data:image/png' }, 400, 'invalid_request', 'image'],
    ['invalid base64', { parts: [{ image: 'data:;base64,a*b' }] }, 400, 'invalid_request', 'parts.0.image'],
    ['an empty file', { image: 'data:;base64,' }, 400, 'empty_body', undefined],
    ['text sent as an image', { image: dataUrl(Buffer.from('hello')) }, 415, 'unsupported_media', undefined],
    [
      'a file over the limit',
      { image: dataUrl(Buffer.concat([Buffer.from([0xff, 0xd8, 0xff]), Buffer.alloc(3e6)])) },
      413,
      'too_large',
      undefined,
    ],
    ['blank texts', { parts: [{ text: ' ' }, { text: '\n' }] }, 400, 'invalid_request', undefined],
  ])('refuses %s', async (_, body, status, code, field) => {
    const problem = await problemOf(await server.json('/embed', body));
    expect(problem).toMatchObject({ status, code, ...(field === undefined ? {} : { field }) });
  });

  it('refuses a sequence beyond the limit of the model, and names the limit', async () => {
    const problem = await problemOf(await server.json('/embed', { parts: Array(5).fill({ video: RED_TO_BLUE }) }));
    expect(problem).toMatchObject({ status: 413, code: 'too_large', limit_tokens: 576 });
  });

  it('refuses a still image sent as a video, and a form with an unknown field', async () => {
    const still = await server.json('/embed', { video: picture().image });
    expect(await problemOf(still)).toMatchObject({ status: 415, code: 'wrong_modality' });
    const form = await embedForm([
      ['photo', red],
      ['colour', 'red'],
    ]);
    expect(await problemOf(form)).toMatchObject({ status: 400, code: 'invalid_request', field: 'colour' });
  });

  it('refuses files whose total size is too large', async () => {
    const large = Buffer.concat([red as Buffer, Buffer.alloc(1.1e6)]);
    const response = await embedForm([
      ['a', large],
      ['b', large],
      ['c', large],
    ]);
    expect(await problemOf(response)).toMatchObject({ status: 413, code: 'too_large', limit_bytes: 2e6 });
  });

  it('leaves no temporary file behind', async () => {
    expect(await readdir(path.join(server.dataDir, 'spool')).catch(() => [])).toEqual([]);
  });
});

describe('a form with fields that were left empty, as a browser sends it', () => {
  it('is one without them', async () => {
    const plain = await embedForm([['file', red]]);
    const filled = await embedForm([
      ['text', ''],
      ['role', ''],
      ['model', ''],
      ['file', red],
    ]);
    expect(filled.status).toBe(200);
    expect(((await filled.json()) as Embedded).embedding).toEqual(((await plain.json()) as Embedded).embedding);
    const nothing = await embedForm([['text', '']]);
    expect(await problemOf(nothing)).toMatchObject({ status: 400, code: 'empty_body' });
  });
});
