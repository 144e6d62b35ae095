import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '../free-port.js';
import { jpeg, mp4 } from '../media-files.js';
import { ModelCopies, THIS } from '../model-copies.js';
import { dot, problemOf, startServer, type TestServer } from '../server.js';
import { ServiceProcess } from '../service-process.js';

const SOON = { timeout: 30_000 };
const KEY = 'a-key-of-the-upstream';
let copies: ModelCopies;
/** A model whose session fails when it runs a text: it loads, and is the same otherwise. */
let failing: string;
let healthy: TestServer;
let image: Buffer;
let video: Buffer;

beforeAll(async () => {
  copies = await ModelCopies.open();
  failing = await copies.make({ poison: 'all' });
  healthy = await startServer({ API_KEYS: KEY });
  [image, video] = await Promise.all([jpeg('red'), mp4()]);
});
afterAll(async () => {
  await healthy.close();
  await copies.close();
});

const opened: TestServer[] = [];
const stops: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  await Promise.all(opened.splice(0).map((server) => server.close()));
  await Promise.all(stops.splice(0).map((stop) => stop()));
});

/** A service whose own model fails, with an upstream. */
async function startFailing(REPLICA_URL: string, settings: Record<string, string> = {}): Promise<TestServer> {
  const server = await startServer({
    ...{ MODEL: failing, REPLICA_URL, REPLICA_API_KEY: KEY, FALLBACK_RETRY_SECONDS: '3600', CACHE_DISK_MB: '0' },
    ...settings,
  });
  opened.push(server);
  return server;
}

async function listen(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<string> {
  const server: Server = createServer(answer).listen(0, '127.0.0.1');
  await once(server, 'listening');
  stops.push(async () => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Another server with OpenAI's interface: it has only that route of a onespace, and may change what it says. */
function standIn(target: () => string, change: (body: { data: { embedding: number[] }[] }) => object = (body) => body) {
  return listen(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    if (request.url !== '/v1/embeddings') return void response.writeHead(404).end('{}');
    const headers = { 'content-type': 'application/json', authorization: request.headers.authorization ?? '' };
    const sent = JSON.parse(Buffer.concat(chunks).toString());
    const reply = await fetch(`${target()}/v1/embeddings`, {
      ...{ method: 'POST', headers },
      body: JSON.stringify({ ...sent, model: undefined }),
    });
    const body = await reply.json();
    response.writeHead(reply.status, { 'content-type': 'application/json' });
    response.end(JSON.stringify(reply.ok ? change(body as never) : body));
  });
}

const withKey = (server: TestServer, body: FormData | object) =>
  fetch(`${server.url}/embed`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${KEY}`,
      ...(body instanceof FormData ? {} : { 'content-type': 'application/json' }),
    },
    body: body instanceof FormData ? body : JSON.stringify(body),
  });
const form = (...parts: (string | Buffer)[]) => {
  const body = new FormData();
  for (const part of parts) {
    if (typeof part === 'string') body.append('text', part);
    else body.append('file', new Blob([new Uint8Array(part)]), 'file');
  }
  return body;
};
const vectorOf = async (reply: Response) => {
  expect(reply.status).toBe(200);
  return ((await reply.json()) as { embedding: number[] }).embedding;
};
const healthOf = async ({ url }: TestServer) =>
  (await (await fetch(`${url}/health`)).json()) as Record<string, unknown>;
const metricsOf = async ({ url }: TestServer) => (await fetch(`${url}/metrics`)).text();

describe('an upstream that is a onespace', () => {
  it('returns the same vectors of texts, images, videos and mixed inputs, and the service reports that it is degraded', async () => {
    const server = await startFailing(`${healthy.url}/v1/`);
    const inputs = [
      ['a red car'],
      [image],
      [video],
      ['a red one', image],
      ['from start to end', video],
      [video, 'the end'],
    ];
    for (const parts of inputs) {
      const [ours, theirs] = await Promise.all(
        [server, healthy].map((one) => withKey(one, form(...parts)).then(vectorOf)),
      );
      expect(dot(ours as number[], theirs as number[])).toBeGreaterThan(1 - 1e-6);
    }
    for (let i = 0; i < 4; i++) await vectorOf(await withKey(server, { text: `a text ${i}` }));
    await expect.poll(async () => (await healthOf(server)).device, SOON).toBe('replica');
    expect(await healthOf(server)).toMatchObject({
      ...{ ready: true, state: 'degraded', device: 'replica' },
      degraded: { since: expect.stringMatching(/^\d{4}-.*Z$/), reason: 'the model failed on cpu' },
      models: [{ state: 'degraded' }],
    });
    expect(await metricsOf(server)).toContain(`onespace_device_moves_total{from="cpu",to="replica",model="${THIS}"} 1`);
    expect(await metricsOf(server)).toContain('onespace_stage_seconds_count{stage="replica",modality="video"');
    // Images are forwarded too now, which the device could still have embedded.
    expect(await vectorOf(await withKey(server, form(await jpeg('blue'))))).toHaveLength(256);
  });

  it('is recognised by its revision as another model, and none of its vectors is used', async () => {
    const other = await startServer({ MODEL: await copies.make({ revision: 'next' }) });
    opened.push(other);
    const server = await startFailing(other.url);
    for (let i = 0; i < 4; i++) {
      // 500 while the model fails, 503 once it is given up: never a vector.
      expect([500, 503]).toContain((await server.json('/embed', { text: `a red car ${i}` })).status);
    }
    await expect.poll(async () => (await healthOf(server)).state, SOON).toBe('down');
  });

  it('is recognised by its vectors as another model where it claims the same revision', async () => {
    const impostor = await startServer({ MODEL: await copies.make({ flip: 64 }) });
    opened.push(impostor);
    const server = await startServer({ REPLICA_URL: impostor.url });
    opened.push(server);
    await expect
      .poll(() => metricsOf(server), SOON)
      .toContain(`onespace_device_up{device="replica",model="${THIS}"} 0`);
    expect(await healthOf(server)).toMatchObject({ state: 'ok', device: 'cpu' });
  });

  it('is not sent videos that it would sample at another rate', async () => {
    const server = await startFailing(healthy.url, { VIDEO_FPS: '4' });
    for (let i = 0; i < 4; i++) await vectorOf(await withKey(server, { text: `a text ${i}` }));
    await expect.poll(async () => (await healthOf(server)).device, SOON).toBe('replica');
    const problem = await problemOf(await withKey(server, form(video)));
    expect(problem).toMatchObject({ status: 503, code: 'unavailable' });
    expect(problem.detail).toContain('VIDEO_FPS');
    expect(await vectorOf(await withKey(server, form(image)))).toHaveLength(256);
  });

  it('whose own model fails does not send a request back', async () => {
    const port = String(await freePort());
    const second = await startFailing(`http://127.0.0.1:${port}`);
    const first = await startFailing(second.url, { PORT: port });
    const replies = await Promise.all(
      [first, second, first, second].map((one) => one.json('/embed', { text: 'a cat' })),
    );
    expect(replies.map(({ status }) => status >= 500)).toEqual([true, true, true, true]);
    expect(await metricsOf(second)).not.toContain('stage="replica"');
  });

  it('serves in place of a configured device that does not exist', async () => {
    await expect(startServer({ DEVICE: 'webgpu' })).rejects.toThrow(/No device runs the model \(webgpu: /);
    const server = await startServer({ DEVICE: 'webgpu', REPLICA_URL: healthy.url, REPLICA_API_KEY: KEY });
    opened.push(server);
    expect(await vectorOf(await server.json('/embed', { text: 'a cat' }))).toHaveLength(256);
    expect(await healthOf(server)).toMatchObject({
      ...{ state: 'degraded', device: 'replica' },
      degraded: { reason: 'the model does not start on webgpu' },
    });
  });

  it('is a process that exits: 503 with Retry-After, and service again after it has been restarted', async () => {
    const port = String(await freePort());
    const url = `http://127.0.0.1:${port}`;
    const upstream = await startProcess(port);
    const server = await startServer({ DEVICE: 'webgpu', REPLICA_URL: url, FALLBACK_RETRY_SECONDS: '1' });
    opened.push(server);
    const embed = (text: string) => server.json('/embed', { text });
    expect((await embed('before')).status).toBe(200);
    await upstream.kill();
    for (let i = 0; i < 4; i++)
      expect(await problemOf(await embed(`gone ${i}`))).toMatchObject({ code: 'unavailable' });
    await expect.poll(async () => (await healthOf(server)).state, SOON).toBe('down');
    const refused = await embed('still gone');
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '5']);
    await startProcess(port);
    await expect.poll(async () => (await healthOf(server)).state, SOON).toBe('degraded');
    expect((await embed('after')).status).toBe(200);
  }, 120_000);
});

describe('an upstream that is any server with OpenAI’s interface', () => {
  /** Has a service whose model works record the reference vectors, then starts one on the same data whose model fails. */
  async function startWithReference(url: string, settings: Record<string, string> = {}): Promise<TestServer> {
    const recorder = await startServer({ REPLICA_URL: url, REPLICA_API_KEY: KEY });
    opened.push(recorder);
    const file = path.join(recorder.dataDir, 'replica', `${encodeURIComponent(THIS)}.json`);
    await expect.poll(() => readFile(file, 'utf8').catch(() => ''), SOON).toContain('long document');
    await recorder.app.close();
    return startFailing(url, { DATA_DIR: recorder.dataDir, ...settings });
  }

  it('returns the same vectors once it is verified to run the same model, and refuses the inputs it cannot embed', async () => {
    const server = await startWithReference(await standIn(() => healthy.url));
    for (const parts of [['a red car'], ['one', image]]) {
      const [ours, theirs] = await Promise.all(
        [server, healthy].map((one) => withKey(one, form(...parts)).then(vectorOf)),
      );
      expect(dot(ours as number[], theirs as number[])).toBeGreaterThan(1 - 1e-6);
    }
    for (let i = 0; i < 4; i++) await vectorOf(await withKey(server, { text: `a text ${i}` }));
    await expect.poll(async () => (await healthOf(server)).device, SOON).toBe('replica');
    expect(await problemOf(await withKey(server, form(video)))).toMatchObject({ status: 503, code: 'unavailable' });
    expect(await problemOf(await withKey(server, form(image, 'before')))).toMatchObject({ code: 'unavailable' });
  });

  it('is not used before the model has run here: there are no reference vectors to verify it by', async () => {
    const server = await startFailing(await standIn(() => healthy.url));
    expect(await problemOf(await server.json('/embed', { text: 'a cat' }))).toMatchObject({ code: 'internal' });
  });

  it.each([
    ['gives vectors of another length', (v: number[]) => v.slice(1)],
    ['gives other vectors', (v: number[]) => v.toReversed()],
    ['gives no direction', (v: number[]) => v.map(() => 0)],
  ])('is not used when it %s', async (_, change) => {
    const alter = (embedding: number[]) => change(embedding);
    const url = await standIn(
      () => healthy.url,
      (body) => ({ ...body, data: body.data.map(({ embedding }) => ({ embedding: alter(embedding) })) }),
    );
    const server = await startWithReference(url);
    expect(await problemOf(await server.json('/embed', { text: 'a cat' }))).toMatchObject({ code: 'internal' });
  });

  it('is given up in time when it hangs, also for a client that disconnects', async () => {
    let hanging = false;
    const target = await standIn(() => healthy.url);
    const url = await listen(async (request, response) => {
      if (hanging) return;
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      const { authorization = '' } = request.headers;
      const init = request.method === 'POST' ? { method: 'POST', body: Buffer.concat(chunks).toString() } : {};
      const reply = await fetch(target + request.url, { ...init, headers: { authorization } });
      response.writeHead(reply.status, { 'content-type': 'application/json' }).end(await reply.text());
    });
    const server = await startWithReference(url, { REPLICA_TIMEOUT_SECONDS: '2' });
    await vectorOf(await server.json('/embed', { text: 'before' }));
    hanging = true;
    const start = performance.now();
    expect(await problemOf(await server.json('/embed', { text: 'during' }))).toMatchObject({ code: 'internal' });
    expect(performance.now() - start).toBeLessThan(8000);
    const gone = AbortSignal.timeout(300);
    await expect(fetch(`${server.url}/embed/text?text=gone`, { method: 'POST', signal: gone })).rejects.toThrow();
  });
});

/** A onespace as a process of its own. */
async function startProcess(PORT: string): Promise<ServiceProcess> {
  const DATA_DIR = path.join(healthy.dataDir, `process-${PORT}`);
  const service = await ServiceProcess.start({ settings: { PORT, DATA_DIR, LOG_LEVEL: 'silent' } });
  stops.push(async () => {
    await service.kill();
  });
  return service;
}
