import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { Agent } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { freePort } from '../free-port.js';
import { ServiceProcess, send } from '../service-process.js';

const CLIENTS = 6;
/** Each client waits so long between its requests: the two services and their clients share few cores. */
const PAUSE_MS = 20;

let folder: string;
let proxy: ChildProcess | undefined;
let services: ServiceProcess[];

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'onespace-lifecycle-'));
});
afterEach(async () => {
  await Promise.all(services.map((service) => service.kill()));
  if (proxy?.exitCode === null) {
    const exit = once(proxy, 'exit');
    proxy.kill('SIGKILL');
    await exit;
  }
  await rm(folder, { recursive: true, force: true });
});

const startService = (i: number, settings: Record<string, string>) =>
  ServiceProcess.start({ settings: { ...settings, DATA_DIR: path.join(folder, String(i)) } });

/** Two services on ports that they keep over a restart. */
async function startServices(
  settings: Record<string, string>,
): Promise<{ ports: number[]; restart: () => Promise<void> }> {
  const ports = [await freePort(), await freePort()];
  const start = (i: number) => startService(i, { LOG_LEVEL: 'error', ...settings, PORT: String(ports[i]) });
  services = await Promise.all([0, 1].map(start));
  const restart = async () => {
    for (const i of [0, 1]) {
      const before = services[i] as ServiceProcess;
      before.child.kill('SIGTERM');
      expect(await before.exit).toEqual([0, null]);
      services[i] = await start(i);
      // The proxy notices that it is back before the other one leaves.
      await sleep(1500);
    }
  };
  return { ports, restart };
}

/** Texts and uploads, on kept connections, for as long as `work` takes. @returns the replies that were not 200 */
async function underLoad(port: number, work: () => Promise<void>): Promise<{ sent: number; failed: string[] }> {
  const failed: string[] = [];
  const agent = new Agent({ keepAlive: true });
  let [sent, isDone] = [0, false];
  const client = async () => {
    while (!isDone) {
      const body = { text: `text number ${sent++}` };
      const outcome = await send({ port, route: '/embed/text', body, agent }).then(
        ({ status, body: reply }) => (status === 200 ? undefined : `${status} ${reply.slice(0, 200)}`),
        (error: NodeJS.ErrnoException) => String(error.code),
      );
      if (outcome !== undefined) failed.push(outcome);
      await sleep(PAUSE_MS);
    }
  };
  const clients = Array.from({ length: CLIENTS }, client);
  await work().finally(() => {
    isDone = true;
  });
  await Promise.all(clients);
  agent.destroy();
  return { sent, failed };
}

async function startProxy(command: string, args: string[], port: number): Promise<void> {
  proxy = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  let stderr = '';
  proxy.stderr?.on('data', (chunk) => {
    stderr += chunk;
  });
  const answers = () =>
    send({ port, route: '/readyz' }).then(
      ({ status }) => status,
      () => stderr,
    );
  await expect.poll(answers, { timeout: 20_000 }).toBe(200);
}

/**
 * Not one request is repeated: what the service does wrong when it stops is a failed request. A check may take long on a
 * loaded machine; it fails by what is answered.
 */
const haproxyWithoutRetries = (port: number, ports: number[]) => `
global
    maxconn 1000
defaults
    mode http
    timeout connect 2s
    timeout client 60s
    timeout server 60s
    timeout http-keep-alive 60s
    timeout check 20s
    retries 0
frontend entry
    bind 127.0.0.1:${port}
    default_backend services
backend services
    balance roundrobin
    http-reuse always
    option httpchk GET /readyz
    http-check expect status 200
    default-server check inter 200ms fall 1 rise 1
${ports.map((one, i) => `    server service-${i} 127.0.0.1:${one}`).join('\n')}
`;

const hasHaproxy = spawnSync('haproxy', ['-v']).status === 0;
if (!hasHaproxy) console.warn('LEFT OUT: rolling restarts behind HAProxy, which is not installed.');
const hasNginx = spawnSync('nginx', ['-v']).status === 0;
if (!hasNginx) console.warn('LEFT OUT: rolling restarts behind nginx, which is not installed.');

describe('rolling restarts under constant load', () => {
  it.skipIf(!hasHaproxy)(
    'fail no request behind HAProxy, which looks at /readyz and repeats nothing',
    async () => {
      const { ports, restart } = await startServices({ SHUTDOWN_DELAY_SECONDS: '5' });
      const port = await freePort();
      const file = path.join(folder, 'haproxy.cfg');
      await writeFile(file, haproxyWithoutRetries(port, ports));
      await startProxy('haproxy', ['-f', file, '-db'], port);
      const { sent, failed } = await underLoad(port, async () => {
        await restart();
        await restart();
      });
      console.log(`HAProxy: ${sent} requests, ${failed.length} failed`);
      expect(failed).toEqual([]);
      expect(sent).toBeGreaterThan(100);
    },
    400_000,
  );

  it.skipIf(!hasNginx)(
    'fail no request behind nginx, which has no checks, as deploy/nginx has it',
    async () => {
      const { ports, restart } = await startServices({ SHUTDOWN_DELAY_SECONDS: '1' });
      const port = await freePort();
      const conf = (await readFile('deploy/nginx/onespace.conf', 'utf8'))
        .replace('127.0.0.1:8001', `127.0.0.1:${ports[0]}`)
        .replace('127.0.0.1:8002', `127.0.0.1:${ports[1]}`)
        .replace('127.0.0.1:8080', `127.0.0.1:${port}`);
      const file = path.join(folder, 'nginx.conf');
      const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
        .map((name) => `${name}_temp_path ${folder}/${name};`)
        .join(' ');
      await writeFile(
        file,
        `daemon off; master_process off; pid ${folder}/nginx.pid; error_log stderr;\n` +
          `events {}\nhttp { access_log off; ${temporary}\n${conf}\n}\n`,
      );
      await startProxy('nginx', ['-c', file, '-p', folder], port);
      const { sent, failed } = await underLoad(port, async () => {
        await restart();
        await restart();
      });
      console.log(`nginx: ${sent} requests, ${failed.length} failed`);
      expect(failed).toEqual([]);
      expect(sent).toBeGreaterThan(100);
    },
    400_000,
  );
});
