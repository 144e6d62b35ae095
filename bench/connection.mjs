import { once } from 'node:events';
import net from 'node:net';

const END_OF_HEADERS = Buffer.from('\r\n\r\n');

/**
 * A keep-alive connection for one request at a time. Node's own client costs as much CPU time as the HTTP of the
 * service does, on the same cores; this one sends and parses only what a measurement needs.
 */
export class Connection {
  static async open(url) {
    const { hostname, port, host } = new URL(url);
    const socket = net.connect(Number(port), hostname);
    await once(socket, 'connect');
    return new Connection(socket, host);
  }

  constructor(socket, host) {
    this.socket = socket;
    this.host = host;
    socket.setNoDelay(true);
    socket.on('data', (chunk) => this.receive(chunk));
    socket.on('error', (error) => this.fail(error));
    socket.on('close', () => this.fail(new Error('The server closed the connection.')));
  }

  /** @param body a string, or chunks of bytes */
  post({ path, type, body }) {
    const pieces = typeof body === 'string' ? [Buffer.from(body)] : [body].flat();
    const bytes = pieces.reduce((sum, { length }) => sum + length, 0);
    this.socket.cork();
    this.socket.write(
      `POST ${path} HTTP/1.1\r\nhost: ${this.host}\r\ncontent-type: ${type}\r\ncontent-length: ${bytes}\r\n\r\n`,
    );
    for (const piece of pieces) this.socket.write(piece);
    this.socket.uncork();
    this.chunks = [];
    this.remaining = undefined;
    return new Promise((resolve, reject) => Object.assign(this, { resolve, reject }));
  }

  close() {
    this.socket.destroy();
  }

  receive(chunk) {
    this.chunks.push(chunk);
    if (this.remaining === undefined) this.readHead();
    else this.remaining -= chunk.length;
    if (this.remaining !== 0) return;
    this.resolve({ status: this.status, body: Buffer.concat(this.chunks) });
  }

  /** Parses the headers, and leaves the start of the body in `chunks`. */
  readHead() {
    const received = Buffer.concat(this.chunks);
    const end = received.indexOf(END_OF_HEADERS);
    if (end < 0) return;
    const head = received.toString('latin1', 0, end);
    const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
    if (length === undefined) return this.fail(new Error(`The reply has no content-length: ${head}`));
    this.status = Number(head.slice(9, 12));
    const body = received.subarray(end + END_OF_HEADERS.length);
    this.chunks = [body];
    this.remaining = Number(length) - body.length;
  }

  fail(error) {
    this.reject?.(error);
  }
}
