import { readFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '../free-port.js';
import { jpeg, mp4 } from '../media-files.js';
import { THIS } from '../model-copies.js';
import { startServer, type TestServer } from '../server.js';

let server: TestServer;

beforeAll(async () => {
  server = await startServer();
});
afterAll(() => server.close());

const metric = (text: string, line: string) => {
  const found = text.split('\n').find((candidate) => candidate.startsWith(`${line} `));
  return found === undefined ? undefined : Number(found.split(' ').at(-1));
};

describe('GET /health', () => {
  it('reports the model, its device and the number of stored vectors', async () => {
    await server.json('/items', { id: 'one', text: 'one' });
    const response = await fetch(`${server.url}/health`);
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({
      live: true,
      version: JSON.parse(readFileSync('package.json', 'utf8')).version,
      ready: true,
      model: { name: 'onespace-mini', revision: expect.any(String), dim: 256 },
      device: 'cpu',
      index: { store: 'faiss', size: 1, vectors: { text: 1, image: 0, video: 0 } },
      limits: { text_tokens: 64, video_frames: 32, upload_bytes: 64e6, json_bytes: 16e6, batch_size: 64, queue: 512 },
    });
  });
});

describe('the probes', () => {
  const KEY = 'a-key-of-sixteen-characters';
  const get = async (url: string) => {
    const response = await fetch(url);
    return [response.status, await response.json()];
  };

  it('answer on both ports, without a key', async () => {
    const adminPort = await freePort();
    const guarded = await startServer({ API_KEYS: KEY, ADMIN_PORT: String(adminPort) });
    for (const base of [guarded.url, `http://127.0.0.1:${adminPort}`]) {
      expect(await get(`${base}/livez`)).toEqual([200, { live: true }]);
      const ready = { ready: true, state: 'ready', reasons: [], degraded: [] };
      expect(await get(`${base}/readyz`)).toEqual([200, ready]);
    }
    await guarded.close();
  });

  it('tell a store that has failed: not ready, for no other replica has it; alive; and no count', async () => {
    const failing = await startServer();
    await failing.json('/items', { id: 'one', text: 'one' });
    await failing.app.service.models.default.store.close();
    expect(await get(`${failing.url}/readyz`)).toMatchObject([
      503,
      { ready: false, reasons: [{ code: 'store_unavailable', model: THIS }], degraded: [] },
    ]);
    expect((await get(`${failing.url}/livez`))[0]).toBe(200);
    const [status, health] = await get(`${failing.url}/health`);
    expect(status).toBe(200);
    expect(health).toMatchObject({ state: 'degraded', degraded: { since: expect.any(String) }, ready: true });
    expect(health.index).toEqual({ store: 'faiss', available: false, reason: 'The index has been closed.' });
    await failing.close();
  });

  it('tell a model that has moved: ready; and one that runs nowhere: not ready, and alive', async () => {
    const upstream = await startServer();
    const settings = { DEVICE: 'webgpu', REPLICA_URL: upstream.url, FALLBACK_RETRY_SECONDS: '1' };
    const deviceless = await startServer(settings);
    const moved = { ready: true, degraded: [{ code: 'model_moved', model: THIS }] };
    expect(await get(`${deviceless.url}/readyz`)).toMatchObject([200, moved]);
    await upstream.close();
    const down = { ready: false, reasons: [{ code: 'model_down', model: THIS }] };
    // Requests that fail are what tells that an upstream is down.
    const afterFailure = async () => {
      await deviceless.json('/embed/text', { text: `nowhere, ${Math.random()}` });
      return get(`${deviceless.url}/readyz`);
    };
    await expect.poll(afterFailure, { timeout: 30_000 }).toMatchObject([503, down]);
    expect((await get(`${deviceless.url}/livez`))[0]).toBe(200);
    await deviceless.close();
  });
});

/** Receiving a file belongs to no model. */
const video = (stage: string) =>
  `onespace_stage_seconds_count{stage="${stage}",modality="video",model="${stage === 'receive' ? '' : THIS}"}`;

describe('GET /metrics', () => {
  it('counts requests, stages, batches, the cache and the index', async () => {
    const red = await jpeg('red');
    await server.form('/items', { id: 'red', 'red.jpg': red });
    await server.form('/items', { id: 'again', 'red.jpg': red });
    await server.form('/items', { id: 'clip', 'clip.mp4': await mp4() });
    await server.json('/retrieve', { text: 'red' });
    await server.json('/retrieve', { text: 5 });
    const scrape = async () => (await fetch(`${server.url}/metrics`)).text();
    const vectors = `onespace_index_vectors{modality="image",model="${THIS}"}`;
    // They are counted in the background, at most once a second.
    await expect.poll(async () => metric(await scrape(), vectors), { timeout: 10_000 }).toBe(2);
    const text = await scrape();
    expect(metric(text, 'onespace_request_seconds_count{method="POST",route="/items",status="201"}')).toBe(4);
    expect(metric(text, 'onespace_request_seconds_count{method="POST",route="/retrieve",status="400"}')).toBe(1);
    for (const stage of ['receive', 'decode', 'serialise', 'queue', 'inference', 'store']) {
      expect(metric(text, video(stage)), stage).toBe(1);
    }
    expect(metric(text, `onespace_stage_seconds_count{stage="search",modality="text",model="${THIS}"}`)).toBe(1);
    expect(metric(text, `onespace_stage_seconds_count{stage="inference",modality="image",model="${THIS}"}`)).toBe(1);
    expect(metric(text, 'onespace_cache_lookups_total{outcome="hit"}')).toBe(1);
    expect(metric(text, `onespace_queue_length{model="${THIS}"}`)).toBe(0);
    expect(metric(text, `onespace_batch_size_count{model="${THIS}"}`)).toBeGreaterThan(0);
    expect(metric(text, 'process_resident_memory_bytes')).toBeGreaterThan(1e7);
  });

  it('leaves no temporary file of an upload behind', async () => {
    expect(await readdir(path.join(server.dataDir, 'spool')).catch(() => [])).toEqual([]);
  });
});
