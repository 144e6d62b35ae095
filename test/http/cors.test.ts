import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config.js';
import { Cors } from '../../src/http/plugins/cors.js';
import { startServer, type TestServer } from '../server.js';

const KEY = 'a-key-that-may-write';
const APP = 'https://app.example.com';
const AUTHORIZED = { authorization: `Bearer ${KEY}` };

interface Request {
  method?: string;
  path?: string;
  origin?: string;
  headers?: Record<string, string>;
  body?: string;
}

/** The status and the headers of a reply, to a request with headers that `fetch` would not send. */
async function ask(server: TestServer, { method = 'GET', path = '/items', origin = APP, headers = {}, body }: Request) {
  const payload = body === undefined ? {} : { payload: body };
  const reply = await server.app.inject({
    method: method as 'GET',
    url: path,
    headers: { origin, ...headers },
    ...payload,
  });
  return { status: reply.statusCode, headers: reply.headers, body: reply.body };
}

const preflight = (method: string, headers = 'authorization,content-type', more: Record<string, string> = {}) => ({
  method: 'OPTIONS',
  headers: { 'access-control-request-method': method, 'access-control-request-headers': headers, ...more },
});

describe('a service with keys and listed origins', () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startServer({
      API_KEYS: KEY,
      RATE_LIMIT: '5',
      CORS_ORIGINS: `${APP}, http://LOCALHOST:3000/, https://tool.example.com:443, chrome-extension://abcdef`,
    });
  });
  afterAll(() => server.close());

  it.each([
    ['GET', '/items'],
    ['POST', '/retrieve'],
    ['DELETE', '/items/a'],
    ['PATCH', '/admin/rollout'],
    ['POST', '/v1/embeddings'],
    ['GET', '/health'],
  ])('answers the preflight of %s %s without a key', async (method, path) => {
    const reply = await ask(server, { path, ...preflight(method) });
    expect(reply).toMatchObject({ status: 204, body: '' });
    expect(reply.headers['access-control-allow-origin']).toBe(APP);
    expect(String(reply.headers['access-control-allow-methods']).split(', ')).toContain(method);
    expect(Number(reply.headers['access-control-max-age'])).toBeGreaterThan(0);
  });

  it('allows every header that a page announces', async () => {
    const announced = 'authorization,content-type,traceparent,x-api-key,x-request-id,x-rollout-key,x-stainless-os';
    const { headers } = await ask(server, preflight('POST', announced));
    expect(headers['access-control-allow-headers']).toBe(announced);
    expect(headers).not.toHaveProperty('access-control-allow-credentials');
    expect(headers.vary).toMatch(/origin.*access-control-request-headers/);
  });

  it('does not count preflights as requests', async () => {
    for (let i = 0; i < 20; i++) expect(await ask(server, preflight('GET'))).toMatchObject({ status: 204 });
  });

  it('lets a page of the internet reach a private network, when it is listed', async () => {
    const asks = { 'access-control-request-private-network': 'true' };
    const listed = await ask(server, preflight('GET', 'authorization', asks));
    expect(listed.headers['access-control-allow-private-network']).toBe('true');
    expect((await ask(server, preflight('GET'))).headers).not.toHaveProperty('access-control-allow-private-network');
    const other = await ask(server, { origin: 'https://evil.test', ...preflight('GET', 'authorization', asks) });
    expect(other.headers).not.toHaveProperty('access-control-allow-private-network');
  });

  it.each(['http://localhost:3000', 'https://tool.example.com', 'chrome-extension://abcdef'])(
    'knows the origin %s however it is written',
    async (origin) => {
      const { headers } = await ask(server, { path: '/health', origin });
      expect(headers['access-control-allow-origin']).toBe(origin);
    },
  );

  it.each(['https://evil.test', 'null', 'http://app.example.com', `${APP}.evil.test`, 'https://app.example.com:8443'])(
    'gives the origin %s no access',
    async (origin) => {
      for (const request of [preflight('GET'), { path: '/health' }]) {
        const { headers } = await ask(server, { origin, ...request });
        expect(headers).not.toHaveProperty('access-control-allow-origin');
        expect(headers.vary).toContain('origin');
      }
    },
  );

  it.each([
    [401, { path: '/items' }],
    [404, { path: '/nothing' }],
    [405, { path: '/embed' }],
    [400, { path: '/items/%E0%A4%A' }],
    [400, { path: '/health', headers: { host: 'a@b' } }],
    [400, { path: '/embed', method: 'POST', body: '{', json: true }],
    [413, { path: '/embed', method: 'POST', body: `{"text":"${'a'.repeat(17e6)}"}`, json: true }],
    [
      415,
      { path: '/embed', method: 'POST', body: '<a/>', headers: { ...AUTHORIZED, 'content-type': 'application/xml' } },
    ],
    [429, { path: '/items?limit=1', headers: AUTHORIZED }],
  ])(
    'a page can read the problem of a %s',
    async (status, { json = false, ...request }: Request & { json?: boolean }) => {
      const type = json ? { ...AUTHORIZED, 'content-type': 'application/json' } : {};
      const again = status === 429 ? 6 : 1;
      let reply = await ask(server, { ...request, headers: { ...type, ...request.headers } });
      for (let i = 1; i < again; i++) reply = await ask(server, request);
      expect(reply.status).toBe(status);
      expect(JSON.parse(reply.body)).toMatchObject({ status });
      expect(reply.headers['access-control-allow-origin']).toBe(APP);
      const exposed = String(reply.headers['access-control-expose-headers']);
      for (const name of ['x-request-id', 'retry-after', 'x-ratelimit-reset', 'location'])
        expect(exposed).toContain(name);
    },
  );
});

describe('a service that is shutting down', () => {
  it('lets a page read the 503', async () => {
    const server = await startServer({ CORS_ORIGINS: APP });
    const { hostname, port } = new URL(server.url);
    const socket = connect({ host: hostname, port: Number(port) });
    await once(socket, 'connect');
    socket.write(`GET /items HTTP/1.1\r\nhost: localhost\r\norigin: ${APP}\r\n`);
    await sleep(100);
    const closed = server.close();
    await sleep(50);
    socket.write('\r\n');
    const chunks: Buffer[] = [];
    for await (const chunk of socket) chunks.push(chunk as Buffer);
    const reply = Buffer.concat(chunks).toString();
    expect(reply).toContain('503 Service Unavailable');
    expect(reply).toContain(`access-control-allow-origin: ${APP}`);
    await closed;
  });
});

describe('the setting CORS_ORIGINS', () => {
  const cors = (env: Record<string, string>) => new Cors(loadConfig(env));

  it('* lets every page in, never with credentials, and only where callers need a key', () => {
    const any = cors({ CORS_ORIGINS: '*', API_KEYS: KEY });
    for (const origin of [APP, 'null']) expect(any.headersFor(origin)['access-control-allow-origin']).toBe('*');
    expect(any.headersFor(APP)).not.toHaveProperty('access-control-allow-credentials');
    expect(() => cors({ CORS_ORIGINS: '*' })).toThrow('API_KEYS');
  });

  it.each([
    'null',
    'app.example.com',
    'https://app.example.com/page',
    'https://*.example.com/x',
    'https://',
    'file:///',
  ])('does not take "%s"', (CORS_ORIGINS) => {
    expect(() => cors({ CORS_ORIGINS })).toThrow(`CORS_ORIGINS: "${CORS_ORIGINS}" is not an origin`);
  });

  it('sends no header when it is empty', () => {
    expect(cors({}).headersFor(APP)).toEqual({});
  });
});
