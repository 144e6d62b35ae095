import { connect } from 'node:net';
import { hostname } from 'node:os';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ProblemDocument } from '../../src/common/errors.js';
import { loadConfig } from '../../src/config.js';
import { AllowedHosts } from '../../src/http/plugins/browsers.js';
import { freePort } from '../free-port.js';
import { startServer, type TestServer } from '../server.js';

const KEY = 'a-key-that-may-write';

interface RawReply {
  status: number;
  problem: ProblemDocument;
}

/** Sends the lines of a request's head as they are, and reads the reply. */
async function send(url: string, ...lines: string[]): Promise<RawReply> {
  const { hostname: host, port } = new URL(url);
  const socket = connect({ host, port: Number(port) });
  socket.write(`${[...lines, 'connection: close'].join('\r\n')}\r\n\r\n`);
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  const [head = '', body = ''] = Buffer.concat(chunks).toString().split('\r\n\r\n');
  const isProblem = head.includes('application/problem+json');
  return { status: Number(head.split(' ')[1]), problem: (isProblem ? JSON.parse(body) : {}) as ProblemDocument };
}

const machine = hostname().toLowerCase();
const short = machine.split('.')[0];

describe('a service without keys', () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startServer({
      HOST: '0.0.0.0',
      ALLOW_ANONYMOUS: 'true',
      ALLOWED_HOSTS: 'search.example.com, *.example.org',
    });
  });
  afterAll(() => server.close());

  it.each([
    ...['localhost', 'LOCALHOST:8000', 'localhost.', 'app.localhost:1', '127.0.0.1:8000', '192.168.0.1', '8.8.8.8:80'],
    ...['[::1]:8000', '[2001:db8::1]', '[fe80::1%eth0]', '[::ffff:1.2.3.4]:80', machine, `${short}.local:8000`],
    ...['search.example.com', 'Search.Example.COM.:443', 'a.example.org', 'a.b.example.org'],
  ])('answers for the host %s', async (host) => {
    expect(await send(server.url, 'GET /items HTTP/1.1', `host: ${host}`)).toMatchObject({ status: 200 });
  });

  it.each([
    ...['evil.test', 'evil.test:8000', 'localhost.evil.test', 'evillocalhost', '127.0.0.1.nip.io', '.localhost'],
    ...[
      'example.com',
      'x.search.example.com',
      'example.org',
      'evilexample.org',
      '0x7f.1',
      '2130706433',
      `${short}.evil`,
    ],
  ])('refuses the host %s, and names it and the setting', async (host) => {
    const { status, problem } = await send(server.url, 'GET /items HTTP/1.1', `host: ${host}`);
    expect(status).toBe(421);
    expect(problem).toMatchObject({ code: 'host_not_allowed', host: host.replace(/:\d+$/, '') });
    expect(problem.detail).toContain('ALLOWED_HOSTS');
  });

  it.each([
    ...['', 'localhost@evil.test', 'evil.test@localhost', 'localhost/evil.test', 'localhost evil.test', 'a,localhost'],
    ...['http://localhost', '[::1', '::1', '[localhost]', '[::1]evil.test', 'localhost:80:80', 'localhost:http', '%6c'],
    ...['löcalhost', 'localhost:999999'],
  ])('refuses the malformed host "%s"', async (host) => {
    expect(await send(server.url, 'GET /items HTTP/1.1', `host: ${host}`)).toMatchObject({
      status: 400,
      problem: { code: 'invalid_request' },
    });
  });

  it('refuses a request with two hosts, or with none, unless it is HTTP/1.0', async () => {
    const invalid = { status: 400, problem: { code: 'invalid_request' } };
    const two = ['host: localhost', 'host: evil.test'];
    expect(await send(server.url, 'GET /items HTTP/1.1', ...two)).toMatchObject(invalid);
    expect(await send(server.url, 'GET /items HTTP/1.1', ...two.reverse())).toMatchObject(invalid);
    expect(await send(server.url, 'GET /items HTTP/1.1')).toMatchObject(invalid);
    expect(await send(server.url, 'GET /items HTTP/1.0')).toMatchObject({ status: 200 });
    expect(await send(server.url, 'GET /items HTTP/1.0', 'host: evil.test')).toMatchObject({ status: 421 });
  });

  it('looks at the URL of a request in absolute form as well', async () => {
    expect(await send(server.url, 'GET http://evil.test/items HTTP/1.1', 'host: localhost')).toMatchObject({
      status: 421,
    });
    expect(await send(server.url, 'GET http://localhost/items HTTP/1.1', 'host: evil.test')).toMatchObject({
      status: 421,
    });
    expect(await send(server.url, 'GET http://u@localhost/items HTTP/1.1', 'host: localhost')).toMatchObject({
      status: 400,
    });
    expect(await send(server.url, 'GET http://localhost/items HTTP/1.1', 'host: localhost')).toMatchObject({
      status: 200,
    });
  });

  it('does not believe a host in X-Forwarded-Host', async () => {
    const head = ['GET /items HTTP/1.1', 'host: evil.test', 'x-forwarded-host: localhost'];
    expect(await send(server.url, ...head)).toMatchObject({ status: 421 });
    const other = ['GET /items HTTP/1.1', 'host: localhost', 'x-forwarded-host: evil.test'];
    expect(await send(server.url, ...other)).toMatchObject({ status: 200 });
  });

  it.each([
    'GET /health',
    'GET /metrics',
    'GET /docs/',
    'GET /openapi.json',
    'GET /nothing',
    'DELETE /items/a',
    'OPTIONS /items',
  ])('refuses %s under a foreign name', async (request) => {
    expect(await send(server.url, `${request} HTTP/1.1`, 'host: evil.test')).toMatchObject({ status: 421 });
  });
});

describe('a service behind a proxy', () => {
  it('needs both the name that the proxy uses and the name that it forwards to be allowed', async () => {
    const server = await startServer({ TRUST_PROXY: 'loopback', ALLOWED_HOSTS: 'search.example.com' });
    const get = (host: string, forwarded: string) =>
      send(server.url, 'GET /items HTTP/1.1', `host: ${host}`, `x-forwarded-host: ${forwarded}`);
    expect(await get('127.0.0.1:8000', 'search.example.com')).toMatchObject({ status: 200 });
    expect(await get('127.0.0.1:8000', 'evil.test, search.example.com')).toMatchObject({ status: 200 });
    expect(await get('127.0.0.1:8000', 'evil.test')).toMatchObject({ status: 421 });
    // A page in a browser beside the proxy may set this header itself.
    expect(await get('evil.test', 'search.example.com')).toMatchObject({ status: 421 });
    await server.close();
  });

  it.each(['balancer', 'true', '10.0.0.1:80'])('does not start with TRUST_PROXY=%s', async (TRUST_PROXY) => {
    await expect(startServer({ TRUST_PROXY })).rejects.toThrow(`TRUST_PROXY: "${TRUST_PROXY}" is not an address`);
  });
});

describe('a service with keys', () => {
  it('may be called by any name until ALLOWED_HOSTS is set; its admin port may not', async () => {
    const ADMIN_PORT = String(await freePort());
    const open = await startServer({ API_KEYS: KEY, ADMIN_PORT });
    const admin = `http://127.0.0.1:${ADMIN_PORT}`;
    const get = (url: string, path: string, host: string) =>
      send(url, `GET ${path} HTTP/1.1`, `host: ${host}`, `authorization: Bearer ${KEY}`);
    expect(await get(open.url, '/items', 'evil.test')).toMatchObject({ status: 200 });
    expect(await get(open.url, '/items', 'evil.test@localhost')).toMatchObject({ status: 400 });
    expect(await get(admin, '/metrics', 'evil.test')).toMatchObject({ status: 421 });
    expect(await get(admin, '/health', 'evil.test:9464')).toMatchObject({ status: 421 });
    expect(await send(admin, 'GET /metrics HTTP/1.1')).toMatchObject({ status: 400 });
    expect(await get(admin, '/metrics', '10.1.2.3:9464')).toMatchObject({ status: 200 });
    await open.close();

    const listed = await startServer({ API_KEYS: KEY, ALLOWED_HOSTS: 'search.example.com' });
    expect(await get(listed.url, '/items', 'search.example.com')).toMatchObject({ status: 200 });
    expect(await get(listed.url, '/items', 'evil.test')).toMatchObject({ status: 421 });
    await listed.close();
  });
});

describe('AllowedHosts', () => {
  const hosts = (env: Record<string, string>, name = 'box.lan') => new AllowedHosts(loadConfig(env), name);

  it('has the names of the machine, and HOST where it is a name', () => {
    const allowed = hosts({ HOST: 'photos.lan' }, 'Box.Lan');
    for (const name of ['box.lan', 'box', 'box.local', 'photos.lan']) expect(allowed.allows(name), name).toBe(true);
    for (const name of ['lan', 'other.lan', 'box.lan.evil', '']) expect(allowed.allows(name), name).toBe(false);
  });

  it('allows every name with *', () => {
    expect(hosts({ ALLOWED_HOSTS: '*' }).allows('evil.test')).toBe(true);
  });

  it.each(['https://a.example', 'a.example:8000', 'a.example/x', 'a.*.example', '*a.example', 'a b'])(
    'does not take the entry "%s"',
    (ALLOWED_HOSTS) => {
      expect(() => hosts({ ALLOWED_HOSTS })).toThrow(`ALLOWED_HOSTS: "${ALLOWED_HOSTS}" is not a host name`);
    },
  );
});
