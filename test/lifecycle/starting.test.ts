import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { Agent } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { ProblemDocument } from '../../src/common/errors.js';
import { openFaissStore } from '../../src/store/faiss/store.js';
import { freePort } from '../free-port.js';
import { BUNDLED_REVISION } from '../model-copies.js';
import { type Reply, ServiceProcess, send } from '../service-process.js';

let folder: string;
let service: ServiceProcess | undefined;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'onespace-lifecycle-'));
});
afterEach(() => service?.kill());
afterAll(() => rm(folder, { recursive: true, force: true }));

const logger = { info() {}, warn() {}, error() {} };
const binding = { model: 'onespace-mini', revision: BUNDLED_REVISION, dim: 256 };

/** Writes an index that only its journal holds. */
async function writeJournal(dataDir: string, items: number): Promise<void> {
  const dir = path.join(dataDir, 'index', 'onespace-mini');
  const store = await openFaissStore({ dir, binding, logger, snapshotBytes: 2 ** 40 });
  const vector = new Float32Array(256);
  vector[0] = 1;
  const batch = 1000;
  for (let from = 0; from < items; from += batch)
    await store.upsert(
      Array.from({ length: batch }, (_, i) => ({
        id: `item ${from + i}`,
        modality: 'text',
        metadata: { text: 'x'.repeat(1000) },
        vector,
      })),
    );
  await store.close();
}

/** Every reply to `routes` from the start of the service until `/readyz` says 200. */
async function watchStart(started: ServiceProcess, routes: readonly string[], adminPort?: number) {
  const replies = new Map<string, Reply[]>(routes.map((route) => [route, []]));
  for (let isReady = false; !isReady && !started.hasEnded; await sleep(10)) {
    for (const route of routes) {
      const port = route.startsWith('admin:') ? adminPort : started.port;
      const request = { port: port as number, route: route.replace('admin:', '') };
      const body = route === '/retrieve' ? { body: { text: 'a cat' } } : {};
      const reply = await send({ ...request, ...body }).catch(() => undefined);
      if (reply !== undefined) replies.get(route)?.push(reply);
      if (route === '/readyz' && reply?.status === 200) isReady = true;
    }
  }
  return (route: string): Reply[] => replies.get(route) ?? [];
}

describe('a service that starts', () => {
  it('answers while it loads, says what it does, and serves the same connections afterwards', async () => {
    const dataDir = path.join(folder, 'journal');
    await writeJournal(dataDir, 20_000);
    const adminPort = await freePort();
    service = await ServiceProcess.spawn({ settings: { DATA_DIR: dataDir, ADMIN_PORT: String(adminPort) } });
    await service.until('/livez', (status) => status === 200);
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const early = await service.embed('early', agent);
    const routes = ['/livez', '/readyz', '/health', '/retrieve', '/v1/models', 'admin:/livez', 'admin:/readyz'];
    const repliesTo = await watchStart(service, routes, adminPort);

    expect(early.status).toBe(503);
    const late = await service.embed('late', agent);
    expect([late.status, late.connection]).toEqual([200, early.connection]);
    agent.destroy();

    for (const route of ['/livez', 'admin:/livez'])
      expect([...new Set(repliesTo(route).map(({ status }) => status))], route).toEqual([200]);
    const [readiness] = repliesTo('/readyz');
    expect(readiness?.status).toBe(503);
    expect(JSON.parse(readiness?.body ?? '')).toMatchObject({
      ready: false,
      state: 'starting',
      reasons: [{ code: 'starting' }],
    });
    expect(repliesTo('admin:/readyz').some(({ status }) => status === 503)).toBe(true);
    const health = repliesTo('/health').filter(({ status }) => status === 503);
    expect(JSON.parse(health[0]?.body ?? '')).toMatchObject({ live: true, ready: false, state: 'starting' });

    const refused = repliesTo('/retrieve').filter(({ status }) => status === 503);
    const problems = refused.map(({ body }) => JSON.parse(body) as ProblemDocument);
    expect(problems[0]).toMatchObject({ code: 'starting', status: 503, retry_after_seconds: expect.any(Number) });
    for (const [i, { headers }] of refused.entries()) {
      expect(headers['x-request-id']).toBe(problems[i]?.request_id);
      expect(headers['content-type']).toBe('application/problem+json');
      expect(Number(headers['retry-after'])).toBeGreaterThan(0);
    }
    const activities = new Set([...health, ...refused].map(({ body }) => JSON.parse(body).activity as string));
    expect([...activities]).toContain('loading the program');
    expect(
      [...activities].some((activity) => /^(replaying the journal of|loading) onespace-mini$/.test(activity)),
    ).toBe(true);
    const [openAi] = repliesTo('/v1/models').filter(({ status }) => status === 503);
    expect(JSON.parse(openAi?.body ?? '').error).toMatchObject({ code: 'starting' });
  }, 180_000);

  it('says what is wrong when loading fails, ends with 1, and closes its port', async () => {
    const dataDir = path.join(folder, 'of-another-model');
    await mkdir(path.join(dataDir, 'index', 'onespace-mini'), { recursive: true });
    const index = { format: 1, model: 'another', revision: '1', dim: 8 };
    await writeFile(path.join(dataDir, 'index', 'onespace-mini', 'index.json'), JSON.stringify(index));
    service = await ServiceProcess.spawn({ settings: { DATA_DIR: dataDir } });
    await service.until('/livez', (status) => status === 200);
    expect(await service.exit).toEqual([1, null]);
    expect(service.stderr).toMatch(/^onespace cannot start: The index holds vectors of another/);
    await expect(service.get('/livez')).rejects.toThrow('ECONNREFUSED');
  }, 120_000);

  it.each([
    [{ MAX_QUEUE: 'many' }, /MAX_QUEUE=many/],
    [{ HOST: '0.0.0.0' }, /HOST=0.0.0.0 lets other machines call/],
  ])('opens no port with %j', async (settings, message) => {
    service = await ServiceProcess.spawn({ settings: { ...settings, DATA_DIR: path.join(folder, 'invalid') } });
    expect(await service.exit).toEqual([1, null]);
    expect(service.stderr).toMatch(message);
  });

  it('ends with 1 when a port is taken, before it opens anything else', async () => {
    const dataDir = path.join(folder, 'taken');
    service = await ServiceProcess.spawn({ settings: { DATA_DIR: dataDir } });
    await service.until('/livez', (status) => status === 200);
    const other = await ServiceProcess.spawn({ settings: { DATA_DIR: dataDir, PORT: String(service.port) } });
    expect(await other.exit).toEqual([1, null]);
    expect(other.stderr).toMatch(/EADDRINUSE/);
  }, 120_000);

  it('is bound by the time limits of the service: headers that do not come are answered with 408', async () => {
    service = await ServiceProcess.spawn({
      settings: { DATA_DIR: path.join(folder, 'slow'), HEADERS_TIMEOUT_SECONDS: '1', HOST: 'localhost' },
    });
    await service.until('/livez', (status) => status === 200);
    const { connect } = await import('node:net');
    const socket = connect(service.port, '127.0.0.1');
    socket.write('GET /livez HTTP/1.1\r\nhost: localhost\r\n');
    let received = '';
    for await (const chunk of socket) received += chunk;
    expect(received).toMatch(/^HTTP\/1.1 408 [\s\S]*"code":"request_timeout"/);
  }, 120_000);
});

describe('replaying the journal', () => {
  it('reports how far it is', async () => {
    const dataDir = path.join(folder, 'ratios');
    await writeJournal(dataDir, 5000);
    const ratios: number[] = [];
    const dir = path.join(dataDir, 'index', 'onespace-mini');
    const events = { onReplay: ({ ratio }: { ratio: number }) => void ratios.push(ratio) };
    const store = await openFaissStore({ dir, binding, logger, events });
    expect(ratios).toEqual([...ratios].sort((a, b) => a - b));
    expect(ratios.length).toBeGreaterThan(3);
    expect(ratios[0]).toBeGreaterThan(0);
    expect(ratios.at(-1)).toBeGreaterThan(0.9);
    expect(ratios.at(-1)).toBeLessThanOrEqual(1);
    await store.close();
  });
});
