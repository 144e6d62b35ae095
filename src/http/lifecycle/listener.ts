import { lookup } from 'node:dns/promises';
import { once } from 'node:events';
import { createServer, type RequestListener, type Server, type ServerOptions } from 'node:http';
import { type AddressInfo, createServer as createNetServer, Server as NetServer, type Socket } from 'node:net';
import { answerClientError } from '../plugins/client-error.js';
import { RequestQueues } from './request-queues.js';

/**
 * How long a drained port waits for the requests that its idle connections may be about to bring: a proxy that sends
 * one while the connection closes cannot tell whether it was done.
 */
const LINGER_MS = 1000;

export interface Address {
  host: string;
  port: number;
}

export interface ListenerOptions extends ServerOptions {
  /** How long nothing of a reply may leave before its connection is cut off, in milliseconds. */
  stalledMs: number;
}

/**
 * The server of one port. It listens while the service starts and answers by `starting` until an app takes over; a
 * connection that was opened before is served by the app after that.
 */
export class Listener {
  readonly server: Server;
  private readonly connections = new Set<Socket>();
  /** Accept connections at the other addresses of `localhost`, and pass them to `server`. */
  private readonly others: NetServer[] = [];
  private serving: RequestQueues | undefined;

  constructor(
    private readonly address: Address,
    { stalledMs, ...options }: ListenerOptions,
    private readonly starting: RequestListener,
  ) {
    this.server = createServer(options, starting);
    this.server.setTimeout(stalledMs, (socket: Socket) => this.endSilent(socket));
    this.server.on('clientError', answerClientError);
    this.server.on('connection', (socket: Socket) => {
      this.connections.add(socket);
      socket.once('close', () => this.connections.delete(socket));
    });
  }

  /** The `serverFactory` of an app, which answers once `handOver` is called. */
  attach(app: RequestListener): Server {
    this.serving = new RequestQueues(app);
    // The app adds its own.
    this.server.off('clientError', answerClientError);
    return this.server;
  }

  /** From now on the attached app answers. */
  handOver(): void {
    const { serving } = this;
    if (serving === undefined) return;
    this.server.off('request', this.starting).on('request', (request, response) => serving.take(request, response));
  }

  /** Opens the port, unless it is open. @throws Error when it is taken */
  async listen(): Promise<void> {
    if (this.server.listening) return;
    const { host, port } = this.address;
    // A name, `localhost` above all, may have an address of each family; clients try either.
    const [first, ...others] = await lookup(host, { all: true });
    this.server.listen(port, first?.address ?? host);
    await once(this.server, 'listening');
    for (const { address } of others) {
      const other = createNetServer({ allowHalfOpen: true, noDelay: true }, (socket) =>
        this.server.emit('connection', socket),
      );
      // A machine without IPv6 has the name, and not the address.
      const opened = once(other.listen(this.bound.port, address), 'listening').then(
        () => true,
        () => false,
      );
      if (await opened) this.others.push(other);
    }
  }

  /** Where a client on this machine reaches the port. */
  get url(): string {
    const { address, family, port } = this.bound;
    const host = { '0.0.0.0': '127.0.0.1', '::': '::1' }[address] ?? address;
    return `http://${family === 'IPv6' ? `[${host}]` : host}:${port}`;
  }

  private get bound(): AddressInfo {
    return this.server.address() as AddressInfo;
  }

  /**
   * Refuses new connections from now on, and waits for those that are open. Each is served until its next reply, which
   * must say `connection: close`; those without a request are closed after a while.
   */
  async drain(): Promise<void> {
    if (!this.server.listening) return;
    const closed = [this.server, ...this.others].map((server) => once(server, 'close'));
    // `Server.close` of HTTP would close the idle connections at once.
    for (const server of [this.server, ...this.others]) NetServer.prototype.close.call(server);
    const timer = setInterval(() => this.closeIdleConnections(), LINGER_MS);
    await Promise.all(closed);
    clearInterval(timer);
  }

  /** Closes the port and its idle connections. */
  close(): void {
    this.closeIdleConnections();
    for (const other of this.others) other.close();
    this.server.close();
  }

  /** Ends a connection that was silent for a while: idle, or with a reply that nobody reads; a request may take long. */
  private endSilent(socket: Socket): void {
    if (socket.writableLength > 0 || this.serving?.isServing(socket) !== true) socket.destroy();
  }

  private closeIdleConnections(): void {
    this.server.closeIdleConnections();
    // To Node a request is under way where nothing has been received yet.
    for (const socket of this.connections) if (socket.bytesRead === 0) socket.destroy();
  }
}
