import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { Agent, type IncomingHttpHeaders, request } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../free-port.js';

export const newFolder = (): Promise<string> => mkdtemp(path.join(tmpdir(), 'onespace-lifecycle-'));

export interface Options {
  dataDir: string;
  settings?: Record<string, string>;
  /** Command before that of the service, which it runs: `unshare --pid --fork`. */
  prefix?: readonly string[];
}

/** The service as a process of its own, on a port that is known before it opens. */
export class ServiceProcess {
  stderr = '';
  stdout = '';
  /** Exit code and signal. */
  readonly exit: Promise<[number | null, NodeJS.Signals | null]>;

  private constructor(
    readonly child: ChildProcess,
    readonly port: number,
  ) {
    this.exit = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
    child.stderr?.on('data', (chunk) => {
      this.stderr += chunk;
    });
    child.stdout?.on('data', (chunk) => {
      this.stdout += chunk;
    });
  }

  static async spawn({ dataDir, settings = {}, prefix = [] }: Options): Promise<ServiceProcess> {
    const port = Number(settings.PORT ?? (await freePort()));
    const env = {
      ...process.env,
      LOG_LEVEL: 'info',
      ENCODER_THREADS: '1',
      ...settings,
      PORT: String(port),
      DATA_DIR: dataDir,
    };
    const [command = '', ...args] = [...prefix, process.execPath, 'dist/src/main.js'];
    return new ServiceProcess(spawn(command, args, { env, stdio: ['ignore', 'pipe', 'pipe'] }), port);
  }

  /** Starts the service, and waits until it is ready. */
  static async start(options: Options): Promise<ServiceProcess> {
    const service = await ServiceProcess.spawn(options);
    await service.until('/readyz', (status) => status === 200);
    return service;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  get hasEnded(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  async until(route: string, isReached: (status: number | undefined) => boolean): Promise<void> {
    for (const deadline = Date.now() + 90_000; Date.now() < deadline; await sleep(20)) {
      if (this.hasEnded) break;
      if (
        isReached(
          await this.get(route).then(
            ({ status }) => status,
            () => undefined,
          ),
        )
      )
        return;
    }
    throw new Error(`${route} did not answer as expected:\n${this.stderr}\n${this.stdout}`);
  }

  get(route: string, agent?: Agent): Promise<Reply> {
    return send({ port: this.port, route, ...(agent === undefined ? {} : { agent }) });
  }

  embed(text: string, agent?: Agent): Promise<Reply> {
    return send({ port: this.port, route: '/embed/text', body: { text }, ...(agent === undefined ? {} : { agent }) });
  }

  async kill(): Promise<void> {
    if (this.hasEnded) return;
    this.child.kill('SIGKILL');
    await this.exit;
  }
}

export interface Reply {
  status: number;
  headers: IncomingHttpHeaders;
  body: string;
  /** Local port of the connection: the same for requests on the same connection. */
  connection: number | undefined;
}

/** One request on a connection of its own, or on one of `agent`; JSON where it has a body. */
export function send({
  port,
  route,
  body,
  agent = new Agent({ keepAlive: false }),
}: {
  port: number;
  route: string;
  body?: object;
  agent?: Agent;
}): Promise<Reply> {
  const text = body === undefined ? undefined : JSON.stringify(body);
  const headers =
    text === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) };
  return new Promise((resolve, reject) => {
    const outgoing = request(
      { host: '127.0.0.1', port, path: route, method: text === undefined ? 'GET' : 'POST', headers, agent },
      (incoming) => {
        const connection = incoming.socket.localPort;
        let received = '';
        incoming.on('data', (chunk) => {
          received += chunk;
        });
        incoming.on('end', () =>
          resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, body: received, connection }),
        );
        incoming.on('error', reject);
      },
    );
    outgoing.on('error', reject);
    outgoing.end(text);
  });
}

export const remove = (folder: string): Promise<void> => rm(folder, { recursive: true, force: true });
