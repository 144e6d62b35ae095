import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from './free-port.js';
import { NEXT, THIS } from './model-copies.js';
import { ServiceProcess } from './service-process.js';
import { type ChromaServer, startChroma } from './store/chroma/chroma-server.js';

const haproxy = spawnSync('haproxy', ['-v']).status === 0;
const folder = await mkdtemp(path.join(tmpdir(), 'onespace-replicas-'));
const chroma = haproxy ? await startChroma(path.join(folder, 'chroma')) : undefined;

let [balancer, first, second] = ['', '', ''];
const replicas: ServiceProcess[] = [];
let proxy: ChildProcess | undefined;

async function untilReady(url: string): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt++) {
    if ((await fetch(`${url}/health`).catch(() => undefined))?.ok) return;
    await sleep(100);
  }
  throw new Error(`${url} does not get ready`);
}

function startReplica(name: string, store: ChromaServer): Promise<ServiceProcess> {
  const settings = { STORE: 'chroma', CHROMA_URL: store.url, ENCODER_THREADS: '1', LOG_LEVEL: 'error' };
  return ServiceProcess.start({ settings: { ...settings, DATA_DIR: path.join(folder, name) } });
}

async function startBalancer(): Promise<string> {
  const address = `127.0.0.1:${await freePort()}`;
  const env = { ...process.env, BIND: address, REPLICA_1: first.slice(7), REPLICA_2: second.slice(7) };
  proxy = spawn('haproxy', ['-f', 'deploy/haproxy/haproxy.cfg', '-db'], { env, stdio: 'ignore' });
  await untilReady(`http://${address}`);
  return `http://${address}`;
}

const store = (url: string, id: string, text: string) =>
  fetch(`${url}/items`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ id, text }),
  });

async function idsFrom(url: string): Promise<string[]> {
  const { items } = (await (await fetch(`${url}/items?limit=1000`)).json()) as { items: { id: string }[] };
  return items.map(({ id }) => id);
}

// The tests need HAProxy and the Chroma package.
describe.skipIf(chroma === undefined)('two replicas that share one Chroma server, behind HAProxy', () => {
  beforeAll(async () => {
    for (const name of ['one', 'two']) replicas.push(await startReplica(name, chroma as ChromaServer));
    [first = '', second = ''] = replicas.map(({ url }) => url);
    balancer = await startBalancer();
  }, 120_000);

  afterAll(async () => {
    for (const replica of replicas) await replica.kill();
    proxy?.kill();
    await chroma?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  it('each reads and finds what the other writes', async () => {
    expect((await store(first, 'shared', 'a red car')).status).toBe(201);
    const reply = await fetch(`${second}/retrieve`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ text: 'a red car', top_k: 1 }),
    });
    expect(await reply.json()).toMatchObject({ results: [{ id: 'shared' }] });
  });

  it('lose no acknowledged write when one is killed under load, and the other keeps serving', async () => {
    const acknowledged: string[] = [];
    let sent = 0;
    const client = async () => {
      while (sent < 120) {
        const id = `item ${String(sent++).padStart(3, '0')}`;
        if (sent === 40) void replicas[0]?.kill();
        const reply = await store(balancer, id, `thing number ${sent}`).catch(() => undefined);
        if (reply?.status === 201) acknowledged.push(id);
      }
    };
    await Promise.all(Array.from({ length: 6 }, client));
    // At most the requests in flight to the killed replica may have failed.
    expect(acknowledged.length).toBeGreaterThanOrEqual(114);
    expect(await idsFrom(balancer)).toEqual(expect.arrayContaining(acknowledged));
    expect((await store(balancer, 'afterwards', 'still here')).status).toBe(201);
  }, 120_000);

  it('refuse every change of a rollout: each would learn of it alone', async () => {
    const { stdout } = spawnSync('npx', ['onespace', '--url', second, 'rollout', 'status'], { encoding: 'utf8' });
    expect(stdout).toContain('no rollout');
    for (const [method, route, body] of [
      ['POST', '', { model: 'models/onespace-mini' }],
      ['PATCH', '', { share_percent: 10 }],
      ['POST', '/promote?force=true', undefined],
      ['POST', '/rollback?force=true', undefined],
      ['DELETE', '', undefined],
    ] as const) {
      const json = body && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
      const reply = await fetch(`${second}/admin/rollout${route}`, { method, ...json });
      expect([reply.status, await reply.json()], method + route).toMatchObject([501, { code: 'rollout_unsupported' }]);
    }
    const args = ['onespace', '--url', second, 'rollout', 'start', 'models/onespace-mini'];
    const command = spawnSync('npx', args, { encoding: 'utf8' });
    expect(command.status).toBe(1);
    expect(command.stderr).toMatch(/share a vector store.*Start a second service/);
  });

  it('do not start with the rollout of an earlier version', async () => {
    const dataDir = path.join(folder, 'rolled-out');
    const state = { format: 1, base: THIS, active: { source: './next', id: NEXT }, indexes: {} };
    await mkdir(path.join(dataDir, 'rollout'), { recursive: true });
    await writeFile(path.join(dataDir, 'rollout', 'state.json'), JSON.stringify(state));
    const settings = { STORE: 'chroma', CHROMA_URL: chroma?.url ?? '', DATA_DIR: dataDir };
    expect(await ServiceProcess.failure({ settings })).toMatch(
      /Either set MODEL=.\/next, or remove DATA_DIR\/rollout to run onespace-mini/,
    );
  });

  it('answer writes with 503 while Chroma is down, and keep embedding', async () => {
    expect(await (await fetch(`${second}/readyz`)).json()).toMatchObject({ ready: true, degraded: [] });
    await chroma?.stop();
    expect((await store(second, 'nowhere', 'text')).status).toBe(503);
    const reply = await fetch(`${second}/embed/text?text=cat`, { method: 'POST' });
    expect(reply.status).toBe(200);
    expect((await fetch(`${second}/metrics`)).status).toBe(200);
    // Were they not ready, all would leave the balancer at once, and with them embedding.
    const readiness = await fetch(`${second}/readyz`);
    expect(readiness.status).toBe(200);
    expect(await readiness.json()).toMatchObject({ ready: true, degraded: [{ code: 'store_unavailable' }] });
    const health = await fetch(`${second}/health`);
    expect(health.status).toBe(200);
    expect(await health.json()).toMatchObject({
      state: 'degraded',
      degraded: { reason: 'the vector store cannot be reached' },
      index: { store: 'chroma', available: false },
    });
  }, 60_000);
});
