import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '../free-port.js';
import { problemOf, startServer, type TestServer } from '../server.js';

const WRITER = 'a-key-that-may-write';
const READER = 'a-key-that-may-read';

/** A port that was free when this function returned. */

/** A request with node:http, which unlike fetch may send any Host and Origin header. */
async function request(server: TestServer, headers: Record<string, string>, method: 'GET' | 'POST' = 'POST') {
  const body = method === 'POST' ? { payload: { text: 'a cat' } } : {};
  const url = method === 'POST' ? '/embed' : '/items';
  const { statusCode, json, headers: reply } = await server.app.inject({ method, url, headers, ...body });
  return { status: statusCode, code: json().code as string | undefined, headers: reply };
}

describe('a service with keys', () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startServer({ API_KEYS: `${WRITER},${READER}:read`, HOST: '0.0.0.0', RATE_LIMIT: '20' });
  });
  afterAll(() => server.close());

  const call = (method: string, route: string, key?: string, body?: object) =>
    fetch(server.url + route, {
      method,
      headers: {
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
      },
      body: body === undefined ? null : JSON.stringify(body),
    });

  it.each(['/health', '/openapi.json', '/docs/'])('serves %s without a key', async (route) => {
    const response = await fetch(server.url + route);
    expect(response.status).toBe(200);
    await response.text();
  });

  it.each([
    ['POST', '/embed'],
    ['POST', '/retrieve'],
    ['GET', '/items'],
    ['DELETE', '/items/a'],
    ['POST', '/v1/embeddings'],
    ['GET', '/v1/models'],
    ['GET', '/metrics'],
  ])('requires a key for %s %s', async (method, route) => {
    for (const key of [undefined, 'not-a-key-of-this-service']) {
      const response = await call(method, route, key, method === 'POST' ? { text: 'a' } : undefined);
      expect(response.headers.get('www-authenticate')).toBe('Bearer');
      expect(await problemOf(response)).toMatchObject({ status: 401, code: 'unauthorized' });
    }
  });

  it('allows a read-only key to embed and search, and a full key also to write', async () => {
    const item = { id: 'a', text: 'a cat' };
    expect(await problemOf(await call('POST', '/items', READER, item))).toMatchObject({
      status: 403,
      code: 'forbidden',
    });
    expect((await call('POST', '/items', WRITER, item)).status).toBe(201);
    expect((await call('POST', '/embed', READER, { text: 'a' })).status).toBe(200);
    expect((await call('POST', '/retrieve', READER, { text: 'a' })).status).toBe(200);
    expect(await problemOf(await call('DELETE', '/items/a', READER))).toMatchObject({ status: 403 });
    expect((await call('DELETE', '/items/a', WRITER)).status).toBe(204);
  });

  it('allows a full key to administer, and a read-only key to read the state', async () => {
    const share = { share_percent: 10 };
    expect(await problemOf(await call('GET', '/admin/rollout'))).toMatchObject({ status: 401 });
    expect(await problemOf(await call('PATCH', '/admin/rollout', READER, share))).toMatchObject({ status: 403 });
    expect((await call('GET', '/admin/rollout', READER)).status).toBe(200);
    expect(await problemOf(await call('PATCH', '/admin/rollout', WRITER, share))).toMatchObject({ status: 409 });
  });

  it('accepts the key in x-api-key too', async () => {
    const response = await fetch(`${server.url}/items`, { headers: { 'x-api-key': READER } });
    expect(response.status).toBe(200);
  });

  it('reports the error to clients of the OpenAI interface', async () => {
    expect(await problemOf(await call('GET', '/v1/models'))).toMatchObject({ error: { type: 'authentication_error' } });
  });

  it('limits the rate of each key separately', async () => {
    const statuses = [];
    for (let i = 0; i < 21; i++) statuses.push((await call('GET', '/items?limit=1', READER)).status);
    expect(statuses).toContain(429);
    const refused = await call('GET', '/items', READER);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(await problemOf(refused)).toMatchObject({ status: 429, code: 'rate_limited', limit_per_minute: 20 });
    expect((await call('GET', '/items', WRITER)).status).toBe(200);
    expect((await fetch(`${server.url}/health`)).status).toBe(200);
  });
});

describe('a service without keys on the loopback interface', () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startServer({ CORS_ORIGINS: 'https://app.example.com' });
  });
  afterAll(() => server.close());

  it('accepts every host name of the loopback interface, and no other', async () => {
    for (const host of ['localhost', 'localhost:8000', '127.0.0.1:8000', '[::1]:8000'])
      expect(await request(server, { host })).toMatchObject({ status: 200 });
    for (const host of ['evil.example.com', 'localhost.example.com'])
      expect(await request(server, { host })).toMatchObject({ status: 421, code: 'host_not_allowed' });
  });

  it('refuses forms from pages of other origins', async () => {
    const host = 'localhost:8000';
    for (const origin of ['http://localhost:8000', 'https://app.example.com'])
      expect(await request(server, { host, origin })).toMatchObject({ status: 200 });
    for (const origin of ['https://evil.example.com', 'null', 'http://localhost:9999'])
      expect(await request(server, { host, origin })).toMatchObject({ status: 403, code: 'forbidden' });
    // Behind a proxy that changes the host, the browser says whose page it is.
    const proxied = { host, origin: 'https://search.example.com' };
    for (const [site, status] of Object.entries({ 'same-origin': 200, 'same-site': 403, 'cross-site': 403 }))
      expect(await request(server, { ...proxied, 'sec-fetch-site': site })).toMatchObject({ status });
  });

  it('sends CORS headers for listed origins only', async () => {
    const host = 'localhost:8000';
    const allowed = await request(server, { host, origin: 'https://app.example.com' }, 'GET');
    expect(allowed.headers['access-control-allow-origin']).toBe('https://app.example.com');
    const other = await request(server, { host, origin: 'https://evil.example.com' }, 'GET');
    expect(other.headers['access-control-allow-origin']).not.toBe('https://evil.example.com');
    expect(other.headers['access-control-allow-origin']).not.toBe('*');
  });

  it('sends security headers with every reply', async () => {
    for (const route of ['/health', '/nothing']) {
      const { headers } = await fetch(server.url + route);
      expect(headers.get('x-content-type-options')).toBe('nosniff');
      expect(headers.get('x-frame-options')).toBe('DENY');
      expect(headers.get('content-security-policy')).toContain("default-src 'none'");
    }
    const { headers } = await fetch(`${server.url}/docs/`);
    expect(headers.get('content-security-policy')).toContain("script-src 'self'");
    expect(headers.get('content-security-policy')).not.toContain('unsafe-eval');
  });
});

describe('a service without keys that other machines can reach', () => {
  it('refuses every administrative request', async () => {
    const server = await startServer({ HOST: '0.0.0.0', ALLOW_ANONYMOUS: 'true' });
    const refused = await fetch(`${server.url}/admin/rollout`, { method: 'DELETE' });
    expect(await problemOf(refused)).toMatchObject({ status: 403, code: 'forbidden' });
    await server.close();
  });
});

describe('a service with an admin port', () => {
  it('serves health and metrics there without keys, and metrics only there', async () => {
    const ADMIN_PORT = String(await freePort());
    const server = await startServer({ API_KEYS: WRITER, ADMIN_PORT });
    const admin = `http://127.0.0.1:${ADMIN_PORT}`;
    expect(await (await fetch(`${admin}/metrics`)).text()).toContain('onespace_model_info');
    expect(await (await fetch(`${admin}/health`)).json()).toMatchObject({ ready: true });
    expect((await fetch(`${admin}/items`)).status).toBe(404);
    const authorization = `Bearer ${WRITER}`;
    const elsewhere = await fetch(`${server.url}/metrics`, { headers: { authorization } });
    expect(await problemOf(elsewhere)).toMatchObject({ status: 404 });
    expect((await fetch(`${server.url}/admin/rollout`, { headers: { authorization } })).status).toBe(404);
    expect((await fetch(`${admin}/admin/rollout`)).status).toBe(401);
    const rollout = await fetch(`${admin}/admin/rollout`, { headers: { authorization } });
    expect(await rollout.json()).toMatchObject({ phase: 'none' });
    await server.close();
    await expect(fetch(`${admin}/health`)).rejects.toThrow();
  });
});
