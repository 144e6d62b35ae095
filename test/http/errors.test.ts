import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ProblemDocument } from '../../src/common/errors.js';
import { problemOf, startServer, type TestServer } from '../server.js';

let server: TestServer;

beforeAll(async () => {
  server = await startServer({ HEADERS_TIMEOUT_SECONDS: '2', SLOW_BODY_SECONDS: '1' });
});
afterAll(() => server.close());

interface RawReply {
  status: number;
  headers: string;
  problem: ProblemDocument;
}

/** Writes to a TCP socket, piece by piece, until the service closes it. */
async function raw(pieces: readonly string[], pauseMs = 0): Promise<RawReply> {
  const { hostname, port } = new URL(server.url);
  const socket = connect({ host: hostname, port: Number(port) });
  const chunks: Buffer[] = [];
  socket.on('data', (chunk) => chunks.push(chunk));
  socket.on('error', () => {});
  const closed = once(socket, 'close');
  for (const piece of pieces) {
    if (socket.destroyed) break;
    socket.write(piece);
    await sleep(pauseMs);
  }
  await closed;
  const [headers = '', body = ''] = Buffer.concat(chunks).toString().split('\r\n\r\n');
  const problem = JSON.parse(body) as ProblemDocument;
  expect(headers).toContain('content-type: application/problem+json');
  expect(headers).toContain(`x-request-id: ${problem.request_id}`);
  return { status: Number(headers.split(' ')[1]), headers, problem };
}

describe('input that never becomes a request', () => {
  it('is answered with a problem document when it is not HTTP', async () => {
    expect(await raw(['GARBAGE\r\n\r\n'])).toMatchObject({ status: 400, problem: { code: 'invalid_request' } });
  });

  it('is answered with 431 when its headers are too large', async () => {
    const reply = await raw([`GET /health HTTP/1.1\r\nhost: localhost\r\nx-long: ${'a'.repeat(20_000)}\r\n\r\n`]);
    expect(reply).toMatchObject({ status: 431, problem: { code: 'headers_too_large' } });
  });

  it('is answered with 408 when its headers arrive too slowly', async () => {
    const trickle = [
      'POST /embed HTTP/1.1\r\n',
      'host: localhost\r\n',
      ...Array.from({ length: 100 }, (_, i) => `x-${i}: 1\r\n`),
    ];
    expect(await raw(trickle, 100)).toMatchObject({ status: 408, problem: { code: 'request_timeout' } });
  });

  it.each([
    ['JSON', 'application/json', '{"text": "a'],
    ['a raw file', 'image/jpeg', 'ab'],
    [
      'a form',
      'multipart/form-data; boundary=b',
      '--b\r\ncontent-disposition: form-data; name="f"; filename="f"\r\n\r\n',
    ],
  ])('is answered with 408 when its body arrives too slowly: %s', async (_, type, start) => {
    const head = `POST /embed HTTP/1.1\r\nhost: localhost\r\ncontent-type: ${type}\r\ncontent-length: 100000\r\n\r\n`;
    const reply = await raw([head, start, ...Array<string>(100).fill('a')], 100);
    expect(reply).toMatchObject({ status: 408, problem: { code: 'request_timeout' } });
  });

  it('releases the permits of slow clients', async () => {
    const replies = await Promise.all(
      Array.from({ length: 8 }, (_, i) => server.json('/embed', { text: `text ${i}` })),
    );
    expect(replies.map(({ status }) => status)).toEqual(Array(8).fill(200));
  });
});

describe('errors of the framework', () => {
  it.each([
    ['GET', '/embed', 'POST'],
    ['PUT', '/items', 'DELETE, GET, HEAD, POST'],
    ['POST', '/items/some%20id', 'DELETE, GET, HEAD'],
    ['DELETE', '/v1/models', 'GET, HEAD'],
  ])('%s %s is answered with the allowed methods', async (method, route, allow) => {
    const response = await fetch(server.url + route, { method });
    expect(response.headers.get('allow')).toBe(allow);
    expect(await problemOf(response)).toMatchObject({ status: 405, code: 'method_not_allowed' });
  });

  it('a path that cannot be decoded is answered with a problem document', async () => {
    const response = await fetch(`${server.url}/items/%E0%A4%A`);
    expect(await problemOf(response)).toMatchObject({ status: 400, code: 'invalid_request' });
  });

  it('an id of the maximum length is looked up, and a longer one refused', async () => {
    const response = await fetch(`${server.url}/items/${encodeURIComponent('ä'.repeat(256))}`);
    expect(await problemOf(response)).toMatchObject({ status: 404, code: 'not_found' });
    const longer = await fetch(`${server.url}/items/${encodeURIComponent('ä'.repeat(257))}`);
    expect(await problemOf(longer)).toMatchObject({ status: 400, field: 'id' });
  });

  it('a JSON body over the limit is answered with 413', async () => {
    const response = await server.json('/embed', { text: 'a'.repeat(17_000_000) });
    expect(await problemOf(response)).toMatchObject({ status: 413, code: 'too_large' });
  });

  it.each([
    ['without a boundary', 'multipart/form-data', 'abc'],
    ['truncated', 'multipart/form-data; boundary=b', '--b\r\ncontent-disposition: form-data; name="f"\r\n\r\nabc'],
    [
      'truncated within a file',
      'multipart/form-data; boundary=b',
      '--b\r\ncontent-disposition: form-data; name="f"; filename="f"\r\n\r\nabc\r\n',
    ],
    [
      'with a field named __proto__',
      'multipart/form-data; boundary=b',
      '--b\r\ncontent-disposition: form-data; name="__proto__"\r\n\r\nabc\r\n--b--\r\n',
    ],
    [
      'with broken JSON in a field',
      'multipart/form-data; boundary=b',
      '--b\r\ncontent-disposition: form-data; name="f"\r\ncontent-type: application/json\r\n\r\n{\r\n--b--\r\n',
    ],
  ])('a form %s is answered with 400', async (_, type, body) => {
    const response = await fetch(`${server.url}/embed`, { method: 'POST', headers: { 'content-type': type }, body });
    expect(await problemOf(response)).toMatchObject({ status: 400, code: 'invalid_request' });
  });

  it('a form of 10,000 parts is answered with 413', async () => {
    const form = new FormData();
    for (let i = 0; i < 10_000; i++) form.append('text', 'a');
    const response = await fetch(`${server.url}/embed`, { method: 'POST', body: form });
    expect(await problemOf(response)).toMatchObject({ status: 413, code: 'too_large' });
  });
});

describe('the error for an invalid field', () => {
  it.each([
    ['/embed/text', { text: 5 }, 'body.text must be string or array; received a number.'],
    ['/embed/text', {}, 'The body needs text.'],
    ['/retrieve', { text: 'a', top_k: '5' }, 'body.top_k must be integer; received a string.'],
    [
      '/retrieve',
      { text: 'a', modal_type: 'sound' },
      'body.modal_type must be one of text, image, video; received "sound".',
    ],
    ['/retrieve', { text: 'a', k: 3 }, 'body.k is not a field of this request.'],
    ['/embed', [], 'The body must be object; received an array.'],
    [
      '/v1/embeddings',
      { input: [{ type: 'audio' }] },
      'body.input.0.type must be one of text, image_url, video_url; received "audio".',
    ],
  ])('%s %j', async (route, body, detail) => {
    expect(await problemOf(await server.json(route, body))).toMatchObject({ status: 400, detail });
  });
});

describe('a service that is shutting down', () => {
  it('answers new requests with 503 and a problem document', async () => {
    const closing = await startServer();
    const { hostname, port } = new URL(closing.url);
    // The connection opens before the service starts to shut down, and its request ends after.
    const socket = connect({ host: hostname, port: Number(port) });
    await once(socket, 'connect');
    socket.write('GET /health HTTP/1.1\r\nhost: localhost\r\n');
    await sleep(100);
    const closed = closing.close();
    await sleep(50);
    socket.write('\r\n');
    const chunks: Buffer[] = [];
    for await (const chunk of socket) chunks.push(chunk as Buffer);
    const [head, body = ''] = Buffer.concat(chunks).toString().split('\r\n\r\n');
    expect(head).toContain('503 Service Unavailable');
    expect(JSON.parse(body)).toMatchObject({ status: 503, code: 'shutting_down' });
    await closed;
  });
});
