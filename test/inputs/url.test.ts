import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { jpeg } from '../media-files.js';
import { problemOf, startServer, type TestServer } from '../server.js';

let server: TestServer;
/** An allowed host, and one on the same machine that is not allowed. */
let [host, forbidden]: { url: string; server: Server; paths: string[] }[] = [];
let red: Buffer;

async function serve(answer: (request: IncomingMessage, response: ServerResponse) => void) {
  const paths: string[] = [];
  const one = createServer((request, response) => {
    paths.push(request.url ?? '');
    answer(request, response);
  }).listen(0, '127.0.0.1');
  await once(one, 'listening');
  return { url: `http://127.0.0.1:${(one.address() as AddressInfo).port}`, server: one, paths };
}

beforeAll(async () => {
  red = await jpeg('red');
  const secret = await serve((_request, response) => response.end(red));
  const port = new URL(secret.url).port;
  const redirects: Record<string, string> = {
    '/to-red': '/red.jpg',
    '/twice': '/to-red',
    '/loop': '/loop',
    '/to-forbidden': `${secret.url}/red.jpg`,
    '/to-localhost': `http://localhost:${port}/red.jpg`,
    '/to-metadata': 'http://169.254.169.254/latest/meta-data',
    '/to-file': 'file:///etc/passwd',
  };
  const open = await serve(({ url = '' }, response) => {
    const location = redirects[url];
    if (location !== undefined) response.writeHead(302, { location }).end();
    else if (url === '/red.jpg') response.end(red);
    else if (url === '/large') response.end(Buffer.concat([red, Buffer.alloc(600_000)]));
    else if (url === '/text') response.end('hello');
    else if (url === '/slow') response.write(red.subarray(0, 2000));
    else if (url === '/broken') response.write(red.subarray(0, 2000), () => response.destroy());
    else if (url === '/endless') sendForever(response, red);
    else response.writeHead(404).end();
  });
  [host, forbidden] = [open, secret];
  const settings = {
    ALLOW_URL_HOSTS: `${new URL(open.url).host},localhost:${port},*.example.com`,
    MAX_UPLOAD_MB: '1',
    MAX_FETCH_SECONDS: '2',
  };
  server = await startServer(settings);
});
afterAll(async () => {
  await server.close();
  for (const one of [host, forbidden]) {
    one?.server.closeAllConnections();
    one?.server.close();
  }
});

function sendForever(response: ServerResponse, start: Buffer): void {
  const chunk = Buffer.alloc(64_000);
  const send = () => {
    while (!response.destroyed && response.write(chunk));
  };
  response.on('drain', send);
  response.write(start);
  send();
}

const embed = (url: string) => server.json('/embed', { image: url });

describe('a URL in the input', () => {
  it.each(['/red.jpg', '/to-red', '/twice'])('is fetched from a listed host, redirects followed: %s', async (route) => {
    const response = await embed(`${host?.url}${route}`);
    const { embedding } = (await response.json()) as { embedding: number[] };
    const sent = await server.json('/embed', { image: `data:;base64,${red.toString('base64')}` });
    expect(embedding).toEqual(((await sent.json()) as { embedding: number[] }).embedding);
  });

  it.each([
    ['a host that is not listed', () => `${forbidden?.url}/red.jpg`],
    ['a redirect to a host that is not listed', () => `${host?.url}/to-forbidden`],
    ['a redirect to the address of cloud metadata', () => `${host?.url}/to-metadata`],
    ['a redirect to a file', () => `${host?.url}/to-file`],
    ['a listed name of a private address', () => `http://localhost:${new URL(forbidden?.url ?? '').port}/`],
    ['a redirect to such a name', () => `${host?.url}/to-localhost`],
    ['a name and a password', () => host?.url.replace('//', '//user:pass@') ?? ''],
  ])('is refused and not fetched: %s', async (_, url) => {
    expect(await problemOf(await embed(url()))).toMatchObject({ status: 403, code: 'url_not_allowed', field: 'image' });
    expect(forbidden?.paths).toEqual([]);
  });

  it.each([
    ['/nothing', 422, 'fetch_failed', '404'],
    ['/loop', 422, 'fetch_failed', 'redirected more than 3 times'],
    ['/slow', 422, 'fetch_failed', 'longer than 2 seconds'],
    ['/broken', 422, 'fetch_failed', 'cannot be fetched'],
    ['/endless', 413, 'too_large', '1 MB'],
    ['/text', 415, 'unsupported_media', 'text'],
  ])('is bounded and explained: %s', async (route, status, code, detail) => {
    const problem = await problemOf(await embed(`${host?.url}${route}`));
    expect(problem).toMatchObject({ status, code });
    expect(problem.detail).toContain(detail);
  });

  it('counts towards the byte limit of its request', async () => {
    const large = { image: `${host?.url}/large` };
    expect((await server.json('/embed', large)).status).toBe(200);
    const mix = [large, large];
    expect(await problemOf(await server.json('/retrieve', { mix }))).toMatchObject({ status: 413, limit_bytes: 1e6 });
    const input = [1, 2].map(() => [{ type: 'image_url', image_url: large.image }]);
    expect(await problemOf(await server.json('/v1/embeddings', { input }))).toMatchObject({ status: 413 });
  });

  it('of an unknown host is answered with an error', async () => {
    const problem = await problemOf(await embed('https://no-such-host-of-this-test.example.com/'));
    expect(problem).toMatchObject({ status: 422, code: 'fetch_failed' });
  });

  it('leaves no temporary file behind', async () => {
    expect(await readdir(path.join(server.dataDir, 'spool')).catch(() => [])).toEqual([]);
  });
});
