import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, request, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { freePort } from '../free-port.js';
import { ServiceProcess } from '../service-process.js';

const isInstalled = spawnSync('haproxy', ['-v']).status === 0;
if (!isInstalled) console.warn('LEFT OUT: test/deploy/haproxy.test.ts needs HAProxy (apt-get install haproxy).');

const folder = await mkdtemp(path.join(tmpdir(), 'onespace-haproxy-'));
const children: ChildProcess[] = [];

async function untilAnswered(url: string): Promise<void> {
  await vi.waitFor(async () => expect((await fetch(url)).ok).toBe(true), { timeout: 60_000, interval: 100 });
}

/** HAProxy with the file that we ship, before these replicas. @returns its URL and the lines that it logs */
async function startBalancer(first: number, second: number): Promise<{ url: string; log: string[] }> {
  const port = await freePort();
  const replicas = { REPLICA_1: `127.0.0.1:${first}`, REPLICA_2: `127.0.0.1:${second}` };
  const env = { ...process.env, BIND: `127.0.0.1:${port}`, ...replicas };
  const child = spawn('haproxy', ['-f', 'deploy/haproxy/haproxy.cfg', '-db'], {
    env,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  children.push(child);
  const log: string[] = [];
  createInterface({ input: child.stdout as never }).on('line', (line) => log.push(line));
  return { url: `http://127.0.0.1:${port}`, log };
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill(signal);
  await exit;
}

afterAll(async () => {
  for (const child of children) await end(child, 'SIGKILL');
  await rm(folder, { recursive: true, force: true });
});

/** A replica that records what reaches it, and answers as it is told: with a status, or by closing the connection. */
class Recorder {
  readonly received: IncomingMessage[] = [];
  answer: number | 'close' = 200;
  private readonly server: Server = createServer((message, reply) => {
    if (message.url === '/readyz') return void reply.end();
    this.received.push(message);
    message.resume().once('end', () => {
      if (this.answer === 'close') message.socket.destroy();
      else reply.writeHead(this.answer).end();
    });
  });

  async listen(): Promise<number> {
    await once(this.server.listen(0, '127.0.0.1'), 'listening');
    return (this.server.address() as { port: number }).port;
  }

  close(): void {
    this.server.close();
    this.server.closeAllConnections();
  }
}

describe.skipIf(!isInstalled)('HAProxy', () => {
  const [first, second] = [new Recorder(), new Recorder()];
  let url: string;
  let log: string[];

  beforeAll(async () => {
    ({ url, log } = await startBalancer(await first.listen(), await second.listen()));
    await untilAnswered(url);
  });
  afterAll(() => {
    first.close();
    second.close();
  });

  /** Sends a request on a connection of its own: HAProxy leaves the repetition of later ones to the client. */
  async function send(method: string, route: string, headers = {}): Promise<number | undefined> {
    const sent = request(url + route, { method, headers, agent: false });
    sent.end(method === 'POST' ? '{}' : undefined);
    const [reply] = (await once(sent, 'response')) as [IncomingMessage];
    return reply.resume().statusCode;
  }

  /** How often a request arrives when each replica gives this answer, and what the client receives. */
  async function arrivals(answer: number | 'close', method: string, route: string) {
    // A connection that a replica closed makes the balancer look at it again: until then it would get nothing.
    await sleep(2500);
    for (const replica of [first, second]) {
      replica.received.length = 0;
      replica.answer = answer;
    }
    return { status: await send(method, route), arrived: first.received.length + second.received.length };
  }

  it.each([
    ['DELETE', '/items/a'],
    ['POST', '/items'],
    ['DELETE', '/items'],
    ['POST', '/admin/rollout/promote'],
  ])('does not repeat %s %s, which a replica may have done', async (method, route) => {
    expect(await arrivals('close', method, route)).toEqual({ status: 502, arrived: 1 });
    expect(await arrivals(503, method, route)).toEqual({ status: 503, arrived: 1 });
  });

  it.each([
    ['GET', '/items'],
    ['POST', '/embed/image'],
    ['POST', '/retrieve'],
  ])('repeats %s %s, which changes nothing', async (method, route) => {
    expect((await arrivals('close', method, route)).arrived).toBeGreaterThan(1);
    expect((await arrivals(503, method, route)).arrived).toBeGreaterThan(1);
  });

  it('reports the client to the replicas, and what only a proxy may say is its own', async () => {
    await sleep(2500);
    for (const replica of [first, second]) {
      replica.received.length = 0;
      replica.answer = 200;
    }
    const headers = { 'x-forwarded-for': '203.0.113.9', 'x-forwarded-host': 'evil.test', 'x-forwarded-proto': 'https' };
    expect(await send('GET', '/items', headers)).toBe(200);
    const [received] = [...first.received, ...second.received];
    // A replica that trusts the balancer takes the last address.
    expect(received?.headersDistinct['x-forwarded-for']).toEqual(['203.0.113.9', '127.0.0.1']);
    expect(received?.headers).not.toHaveProperty('x-forwarded-host');
    expect(received?.headers['x-forwarded-proto']).toBe('http');
  });

  it('logs each request with its client, its replica and its status', async () => {
    const line = () =>
      log.find((one) => /^127\.0\.0\.1:\d+ .* replicas\/replica-\d .* 200 .*"GET \/items HTTP/.test(one));
    await expect.poll(line).toBeDefined();
  });
});

async function startReplica(port: number): Promise<ServiceProcess> {
  const replica = await ServiceProcess.start({
    settings: {
      PORT: String(port),
      DATA_DIR: path.join(folder, String(port)),
      TRUST_PROXY: 'loopback',
      ENCODER_THREADS: '1',
      SHUTDOWN_DELAY_SECONDS: '3',
      LOG_LEVEL: 'error',
    },
  });
  children.push(replica.child);
  return replica;
}

describe.skipIf(!isInstalled)('a rolling restart of two replicas behind HAProxy', () => {
  it('fails no request', { timeout: 240_000 }, async () => {
    const ports = [await freePort(), await freePort()] as const;
    const replicas = await Promise.all(ports.map(startReplica));
    const { url } = await startBalancer(...ports);
    await untilAnswered(`${url}/health`);

    const photo = new Blob([await readFile('samples/photos/cat.jpg')]);
    const statuses = new Map<string, number>();
    let isOver = false;
    const send = [
      () => fetch(`${url}/embed/text?text=a%20cat`, { method: 'POST' }),
      () => fetch(`${url}/items?limit=1`),
      () => {
        const body = new FormData();
        body.set('file', photo, 'cat.jpg');
        return fetch(`${url}/embed/image`, { method: 'POST', body });
      },
      // What may not be repeated either reaches a replica that is there, or none.
      () => {
        const headers = { 'content-type': 'application/json' };
        return fetch(`${url}/items`, { method: 'POST', headers, body: JSON.stringify({ id: 'a', text: 'a cat' }) });
      },
    ];
    const client = async (sendOne: () => Promise<Response>) => {
      while (!isOver) {
        const outcome = await sendOne().then(
          async (reply) => {
            await reply.arrayBuffer();
            return reply.ok ? 'ok' : String(reply.status);
          },
          (error: Error) => String(error.cause ?? error),
        );
        statuses.set(outcome, (statuses.get(outcome) ?? 0) + 1);
      }
    };
    const clients = send.map(client);
    for (const [i, port] of ports.entries()) {
      await replicas[i]?.stop();
      await startReplica(port);
      // Until the balancer has seen that it is back.
      await sleep(3000);
    }
    isOver = true;
    await Promise.all(clients);
    expect([...statuses.keys()]).toEqual(['ok']);
    expect(statuses.get('ok')).toBeGreaterThan(50);
  });
});
