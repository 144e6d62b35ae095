import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { Agent, type IncomingHttpHeaders, request } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from './free-port.js';

/** A line of the service's log. */
export type LogLine = Record<string, unknown>;

/** Exit code and signal. */
export type Exit = [number | null, NodeJS.Signals | null];

const START_MS = 90_000;

export interface Options {
  settings?: Record<string, string>;
  /** Command before that of the service, which it runs: `unshare --pid --fork`. */
  prefix?: readonly string[];
  /** Arguments of Node before the script. */
  nodeOptions?: readonly string[];
  /** Folder of the installation. Default: this one. */
  root?: string;
  /** Of the user that runs it. Default: this one. */
  user?: { uid?: number; gid?: number };
}

/** The service as a process of its own, on a port that is known before it opens. */
export class ServiceProcess {
  stderr = '';
  stdout = '';
  readonly exit: Promise<Exit>;

  private constructor(
    readonly child: ChildProcess,
    readonly port: number,
    /** DATA_DIR, where it is removed at the end. */
    private readonly temporary: string | undefined,
  ) {
    this.exit = once(child, 'exit') as Promise<Exit>;
    child.stderr?.setEncoding('utf8').on('data', (chunk) => {
      this.stderr += chunk;
    });
    child.stdout?.setEncoding('utf8').on('data', (chunk) => {
      this.stdout += chunk;
    });
  }

  /** Without DATA_DIR among its settings it gets one of its own. */
  static async spawn({ settings = {}, prefix = [], nodeOptions = [], root = '.', user = {} }: Options = {}) {
    const PORT = settings.PORT ?? String(await freePort());
    const temporary =
      settings.DATA_DIR === undefined ? await mkdtemp(path.join(tmpdir(), 'onespace-service-')) : undefined;
    const env = { ...process.env, LOG_LEVEL: 'info', DATA_DIR: temporary, ...settings, PORT };
    const [command = '', ...args] = [...prefix, process.execPath, ...nodeOptions, path.join(root, 'dist/src/main.js')];
    return new ServiceProcess(
      spawn(command, args, { ...user, env, stdio: ['ignore', 'pipe', 'pipe'] }),
      Number(PORT),
      temporary,
    );
  }

  /** Starts the service, and waits until it says that it is ready. @throws Error with what it printed, where it ends before */
  static async start(options: Options = {}): Promise<ServiceProcess> {
    const service = await ServiceProcess.spawn(options);
    for (const deadline = Date.now() + START_MS; !service.stderr.includes('\nonespace is ready'); await sleep(20))
      if (service.hasEnded || Date.now() > deadline) {
        await service.kill();
        throw new Error(`the service did not become ready: ${service.printed}`);
      }
    return service;
  }

  /** What a service prints that does not start. @throws Error where it does, or ends otherwise than with code 1 */
  static async failure(options: Options): Promise<string> {
    const service = await ServiceProcess.spawn(options);
    const [code] = (await once(service.child, 'close')) as Exit;
    await service.clean();
    if (code !== 1) throw new Error(`exit code ${code}: ${service.printed}`);
    return service.printed;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  get hasEnded(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  get printed(): string {
    return `${this.stdout}\n${this.stderr}`;
  }

  /** The lines of its log that are complete. */
  get logs(): LogLine[] {
    return this.stdout
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line));
  }

  /** The value of a series of /metrics, labels included as they are printed; undefined where there is none. */
  async series(name: string): Promise<number | undefined> {
    return readSeries((await this.get('/metrics')).body, name);
  }

  /** Waits until a route answers so; while the port is closed its status is undefined. */
  async until(route: string, isReached: (status: number | undefined) => boolean): Promise<void> {
    for (const deadline = Date.now() + START_MS; Date.now() < deadline; await sleep(20)) {
      if (this.hasEnded) break;
      const status = await this.get(route).then(
        (reply) => reply.status,
        () => undefined,
      );
      if (isReached(status)) return;
    }
    throw new Error(`${route} did not answer as expected: ${this.printed}`);
  }

  get(route: string, agent?: Agent): Promise<Reply> {
    return send({ port: this.port, route, ...(agent === undefined ? {} : { agent }) });
  }

  embed(text: string, agent?: Agent): Promise<Reply> {
    return send({ port: this.port, route: '/embed/text', body: { text }, ...(agent === undefined ? {} : { agent }) });
  }

  /** Ends it, where it has not ended. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<Exit> {
    if (!this.hasEnded) this.child.kill(signal);
    const exit = await this.exit;
    await this.clean();
    return exit;
  }

  kill(): Promise<Exit> {
    return this.stop('SIGKILL');
  }

  private async clean(): Promise<void> {
    if (this.temporary !== undefined) await rm(this.temporary, { recursive: true, force: true });
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

export const postJson = (url: string, body: object): Promise<Response> =>
  fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });

/** The value of a series in the text of /metrics. */
export function readSeries(text: string, name: string): number | undefined {
  const line = text.split('\n').find((one) => one.startsWith(`${name} `));
  return line === undefined ? undefined : Number(line.slice(name.length + 1));
}
