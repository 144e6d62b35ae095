import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, request, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type LogLine, readSeries, ServiceProcess } from '../service-process.js';

const KEY = 'a-key-that-the-log-never-shows';
const WITH_KEY = { authorization: `Bearer ${KEY}` };
const JSON_BODY = { ...WITH_KEY, 'content-type': 'application/json' };
/** The first bytes of a file that goes on. */
const JPEG_HEAD = Buffer.concat([Buffer.from([0xff, 0xd8, 0xff, 0xe0]), Buffer.alloc(20_000)]);
const TRACE_ID = '4bf92f3577b34da6a3ce929d0e0e4736';

let service: ServiceProcess;
/** Accepts requests and never answers them. */
let silent: Server;
let silentUrl: string;

beforeAll(async () => {
  silent = createServer(() => {}).listen(0, '127.0.0.1');
  await once(silent, 'listening');
  const host = `127.0.0.1:${(silent.address() as AddressInfo).port}`;
  silentUrl = `http://${host}/cat.jpg`;
  service = await ServiceProcess.start({
    settings: { LOG_LEVEL: 'debug', API_KEYS: KEY, ALLOW_URL_HOSTS: host, SLOW_BODY_SECONDS: '2', ADMIN_PORT: '0' },
  });
});
afterAll(async () => {
  silent.closeAllConnections();
  silent.close();
  await service.stop();
});

const post = (path: string, body: object, headers: Record<string, string> = JSON_BODY) =>
  fetch(service.url + path, { method: 'POST', headers, body: JSON.stringify(body) });

/** The log lines of requests to a path, probes included. */
const linesOf = (path: string) => service.logs.filter((line) => line.msg === 'request' && line.path === path);
const untilLogged = async (path: string, wanted: LogLine) =>
  expect.poll(() => linesOf(path).at(-1), { timeout: 10_000 }).toMatchObject(wanted);

const scrape = async (series: string): Promise<number> => {
  const text = await (await fetch(`${service.url}/metrics`, { headers: WITH_KEY })).text();
  return Number(readSeries(text, series));
};
const outcomes = (method: string, route: string, outcome: string) =>
  scrape(`onespace_requests_total{method="${method}",route="${route}",outcome="${outcome}"}`);

describe('requests that clients give up', () => {
  it('are counted and logged when the client had sent everything and waited', async () => {
    expect(await outcomes('POST', '/embed', 'abandoned')).toBe(0);
    const client = request(`${service.url}/embed`, { method: 'POST', headers: JSON_BODY });
    client.on('error', () => {});
    client.end(JSON.stringify({ image: silentUrl }));
    await sleep(1500);
    client.destroy();
    await untilLogged('/embed', { status: 499, route: '/embed', client: '127.0.0.1' });
    expect(linesOf('/embed').at(-1)?.ms).toBeGreaterThan(1000);
    expect(await outcomes('POST', '/embed', 'abandoned')).toBe(1);
    expect(await scrape('onespace_request_seconds_count{method="POST",route="/embed",status="499"}')).toBe(1);
  });

  it('are told from those that the client cuts off while it sends', async () => {
    const headers = { ...WITH_KEY, 'content-type': 'image/jpeg', 'content-length': '100000' };
    const client = request(`${service.url}/embed/image`, { method: 'POST', headers });
    client.on('error', () => {});
    client.write(JPEG_HEAD);
    await sleep(300);
    client.destroy();
    await untilLogged('/embed/image', { status: 499 });
    expect(linesOf('/embed/image').at(-1)?.bytes_in).toBeGreaterThan(20_000);
    expect(linesOf('/embed/image').at(-1)?.bytes_in).toBeLessThan(21_000);
    expect(await outcomes('POST', '/embed/image', 'aborted')).toBe(1);
    expect(await outcomes('POST', '/embed/image', 'abandoned')).toBe(0);
  });

  it('are seen when they stop reading in the middle of a reply', async () => {
    const input = Array.from({ length: 400 }, (_, i) => `text ${i}`);
    const body = JSON.stringify({ model: 'onespace-mini', input });
    const socket = connect(Number(new URL(service.url).port), '127.0.0.1');
    const head = `POST /v1/embeddings HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${KEY}\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n`;
    // Replies of more than 1 MB each fill what the system buffers of a connection that nobody reads.
    socket.pause();
    socket.write((head + body).repeat(24));
    await expect.poll(() => linesOf('/v1/embeddings').length, { timeout: 40_000 }).toBeGreaterThan(0);
    await sleep(3000);
    socket.destroy();
    const cut = () => linesOf('/v1/embeddings').some((line) => line.status === 499 && line.sent_status === 200);
    await expect.poll(cut, { timeout: 20_000 }).toBe(true);
  });
});

describe('requests that are refused', () => {
  it('before their handler are counted and logged', async () => {
    await post('/items', { text: 'x' }, { 'content-type': 'application/json' });
    await untilLogged('/items', { status: 401, route: '/items' });
    expect(linesOf('/items').at(-1)).not.toHaveProperty('key');
    expect(await outcomes('POST', '/items', 'invalid')).toBe(1);
  });

  it('before any hook are counted and logged', async () => {
    const reply = await fetch(`${service.url}/%E0%A4%A`);
    expect(reply.status).toBe(400);
    await untilLogged('/%E0%A4%A', { status: 400, request_id: reply.headers.get('x-request-id') });
    expect(await scrape('onespace_request_seconds_count{method="GET",route="none",status="400"}')).toBe(1);
  });

  it('because their body is too slow are counted and logged with the status that was sent', async () => {
    const socket = connect(Number(new URL(service.url).port), '127.0.0.1');
    const head = `POST /embed/video HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${KEY}\r\ncontent-type: video/mp4\r\ncontent-length: 9999\r\n\r\n`;
    socket.write(`${head}xx`);
    let reply = '';
    socket.on('data', (chunk) => {
      reply += chunk;
    });
    await once(socket, 'close');
    expect(reply).toMatch(/^HTTP\/1.1 408 /);
    await untilLogged('/embed/video', { status: 408 });
    expect(await outcomes('POST', '/embed/video', 'invalid')).toBe(1);
  });
});

describe('the access log', () => {
  it('has a line for each request: who, what, how much, how long', async () => {
    const reply = await post(
      '/retrieve',
      { text: 'a red car' },
      { ...JSON_BODY, traceparent: `00-${TRACE_ID}-00f067aa0ba902b7-01` },
    );
    const { length } = await reply.text();
    await untilLogged('/retrieve', {
      level: 30,
      method: 'POST',
      route: '/retrieve',
      status: 200,
      client: '127.0.0.1',
      key: createHash('sha256').update(KEY).digest('hex').slice(0, 8),
      model: reply.headers.get('x-onespace-model'),
      request_id: reply.headers.get('x-request-id'),
      trace_id: TRACE_ID,
    });
    const [line] = linesOf('/retrieve');
    expect(line?.bytes_out).toBeGreaterThan(length);
    expect(line?.bytes_out).toBeLessThan(length + 2000);
    expect(line?.bytes_in).toBeGreaterThan(20);
    expect(linesOf('/retrieve')).toHaveLength(1);
    expect(JSON.stringify(service.logs)).not.toContain(KEY);
  });

  it('counts the bytes of each request of a connection', async () => {
    const socket = connect(Number(new URL(service.url).port), '127.0.0.1');
    const send = async (id: string) => {
      socket.write(`GET /items/${id} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${KEY}\r\n\r\n`);
      await once(socket, 'data');
      await expect.poll(() => linesOf(`/items/${id}`).length).toBe(1);
      return linesOf(`/items/${id}`)[0]?.bytes_in;
    };
    const first = await send('one');
    expect(await send('two')).toBe(first);
    expect(await send('three')).toBe(Number(first) + 2);
    socket.destroy();
  });

  it('takes no trace id from a header that is not one', async () => {
    for (const traceparent of [
      `00-${'0'.repeat(32)}-00f067aa0ba902b7-01`,
      `00-${TRACE_ID}-0000000000000000-01`,
      `ff-${TRACE_ID}-00f067aa0ba902b7-01`,
      `00-${TRACE_ID}-00f067aa0ba902b7-01-more`,
      `00-${TRACE_ID.toUpperCase()}-00f067aa0ba902b7-01`,
      `"\\u0000`,
    ])
      await fetch(`${service.url}/untraced`, { headers: { traceparent } });
    await expect.poll(() => linesOf('/untraced').length).toBe(6);
    for (const line of linesOf('/untraced')) expect(line).not.toHaveProperty('trace_id');
  });

  it('takes the trace id of a later version of the header', async () => {
    await fetch(`${service.url}/later`, { headers: { traceparent: `cc-${TRACE_ID}-00f067aa0ba902b7-01-what-comes` } });
    await untilLogged('/later', { trace_id: TRACE_ID });
  });

  it('has probes and scrapes only at debug', async () => {
    await fetch(`${service.url}/health`);
    await fetch(`${service.url}/metrics`, { headers: WITH_KEY });
    await untilLogged('/health', { level: 20 });
    await untilLogged('/metrics', { level: 20 });
  });
});

describe('a request that is refused because a limit is reached', () => {
  it('is told in a line without a stack: a flood of them would fill the log', async () => {
    const full = await ServiceProcess.start({ settings: { LOG_LEVEL: 'warn', MAX_QUEUE: '1' } });
    try {
      const socket = connect(full.port, '127.0.0.1');
      socket.on('error', () => {});
      socket.write(
        'POST /embed/image HTTP/1.1\r\nhost: localhost\r\ncontent-type: image/jpeg\r\ncontent-length: 90000\r\n\r\n',
      );
      socket.write(JPEG_HEAD);
      const refused = () =>
        fetch(`${full.url}/embed/text`, {
          method: 'POST',
          body: '{"text":"a"}',
          headers: { 'content-type': 'application/json' },
        });
      await expect.poll(async () => (await refused()).status, { timeout: 10_000 }).toBe(503);
      await expect
        .poll(() => full.logs.find(({ code }) => code === 'overloaded'), { timeout: 10_000 })
        .toMatchObject({ level: 40 });
      expect(full.stdout).not.toContain('"stack"');
      socket.destroy();
    } finally {
      await full.stop();
    }
  });
});
