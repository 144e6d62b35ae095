import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export const COMMIT = 'c0ffee0000000000000000000000000000000042';
export const TOKEN = 'hf_test';

/** How the next request for a file fails; the one after it succeeds. */
export type Fault =
  | { cutAfter: number }
  | { silentAfter: number }
  | { status: number; headers?: Record<string, string> }
  | { content: Buffer };

export interface Seen {
  host: 'hub' | 'cdn';
  path: string;
  authorization: string | undefined;
  range: string | undefined;
}

/**
 * A fake of a model hub and of the content delivery network that serves its large files, on two ports: the file
 * interface as https://huggingface.co/docs/hub/api and the client huggingface_hub have it.
 */
export class HubServer {
  readonly seen: Seen[] = [];
  readonly faults = new Map<string, Fault[]>();
  /** The reply to a request without the token, for a private or gated repository. */
  gate: { status: number; code: string } | undefined;
  supportsRanges = true;
  /** Files per page of a listing. */
  pageSize = 1000;

  private constructor(
    readonly repository: string,
    /** Content by path; files under onnx/ are large: outside git, on the delivery network. */
    readonly files: ReadonlyMap<string, Buffer>,
    private readonly hub: Server,
    private readonly cdn: Server,
  ) {
    hub.on('request', (request, response) => this.#asHub(request, response));
    cdn.on('request', (request, response) => this.#asCdn(request, response));
  }

  static async start(repository: string, files: ReadonlyMap<string, Buffer>): Promise<HubServer> {
    const [hub, cdn] = [createServer(), createServer()];
    for (const server of [hub, cdn])
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
    return new HubServer(repository, files, hub, cdn);
  }

  get url(): string {
    return urlOf(this.hub);
  }

  /** Makes the next requests for a file fail, one after the other. */
  fault(file: string, ...faults: Fault[]): void {
    this.faults.set(file, faults);
  }

  /** The requests for a file to the host that serves its bytes. */
  requestsFor(file: string): Seen[] {
    return this.seen.filter(({ path, host }) => path.endsWith(`/${file}`) && (host === 'cdn') === isLarge(file));
  }

  async close(): Promise<void> {
    for (const server of [this.hub, this.cdn]) {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  }

  #note(host: Seen['host'], request: IncomingMessage): string {
    const path = request.url ?? '';
    const { authorization, range } = request.headers;
    this.seen.push({ host, path, authorization, range });
    return path;
  }

  #asHub(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(this.#note('hub', request), this.url);
    const gate = this.gate;
    const api = `/api/models/${this.repository}`;
    const files = `/${this.repository}/resolve/${COMMIT}/`;
    if (gate !== undefined && request.headers.authorization !== `Bearer ${TOKEN}`)
      refuse(response, gate.status, gate.code);
    else if (url.pathname === `${api}/revision/main`) json(response, { id: this.repository, sha: COMMIT });
    else if (url.pathname === `${api}/tree/${COMMIT}`) this.#tree(url, response);
    else if (url.pathname.startsWith(files)) this.#resolve(url.pathname.slice(files.length), request, response);
    else refuse(response, 404, 'EntryNotFound');
  }

  #resolve(file: string, request: IncomingMessage, response: ServerResponse): void {
    const content = this.files.get(file);
    if (content === undefined) refuse(response, 404, 'EntryNotFound');
    else if (!isLarge(file)) this.#send(file, content, request, response);
    else response.writeHead(302, { location: `${urlOf(this.cdn)}/blobs/${file}` }).end();
  }

  #asCdn(request: IncomingMessage, response: ServerResponse): void {
    const file = this.#note('cdn', request).slice('/blobs/'.length);
    this.#send(file, this.files.get(file) ?? Buffer.alloc(0), request, response);
  }

  #tree(url: URL, response: ServerResponse): void {
    const first = Number(url.searchParams.get('cursor') ?? 0);
    const entries = [...this.files].map(([path, content]) => ({
      type: 'file',
      path,
      oid: isLarge(path) ? '0'.repeat(40) : gitOid(content),
      size: content.length,
      ...(isLarge(path) ? { lfs: { oid: sha256(content), size: content.length, pointerSize: 134 } } : {}),
    }));
    url.searchParams.set('cursor', String(first + this.pageSize));
    const link = first + this.pageSize < entries.length ? { link: `<${url.href}>; rel="next"` } : {};
    json(response, entries.slice(first, first + this.pageSize), link);
  }

  #send(file: string, content: Buffer, request: IncomingMessage, response: ServerResponse): void {
    const fault = this.faults.get(file)?.shift() ?? { content };
    if ('status' in fault) {
      refuse(response, fault.status, undefined, fault.headers);
      return;
    }
    const whole = 'content' in fault ? fault.content : content;
    const start = this.supportsRanges ? Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0) : 0;
    const range = { 'content-range': `bytes ${start}-${whole.length - 1}/${whole.length}` };
    response.writeHead(start > 0 ? 206 : 200, { 'content-length': whole.length - start, ...(start > 0 ? range : {}) });
    const rest = whole.subarray(start);
    if ('cutAfter' in fault) response.write(rest.subarray(0, fault.cutAfter), () => response.destroy());
    else if ('silentAfter' in fault) response.write(rest.subarray(0, fault.silentAfter));
    else response.end(rest);
  }
}

function refuse(response: ServerResponse, status: number, code?: string, headers: Record<string, string> = {}): void {
  response.writeHead(status, { ...(code === undefined ? {} : { 'x-error-code': code }), ...headers }).end();
}

const isLarge = (file: string) => file.startsWith('onnx/');
const urlOf = (server: Server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
export const sha256 = (content: Buffer) => createHash('sha256').update(content).digest('hex');
const gitOid = (content: Buffer) => createHash('sha1').update(`blob ${content.length}\0`).update(content).digest('hex');

function json(response: ServerResponse, value: unknown, headers: Record<string, string> = {}): void {
  response.writeHead(200, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(value));
}
