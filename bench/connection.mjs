import { once } from 'node:events';
import net from 'node:net';

const END_OF_HEADERS = Buffer.from('\r\n\r\n');

/**
 * One connection that is kept open, for one request at a time. Node's own client costs as much as the service's side
 * of HTTP does, and takes it from the same cores; this one sends and reads the little that a measurement needs.
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

  /** @param body a string, or pieces of a file */
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
    this.missing = undefined;
    return new Promise((resolve, reject) => Object.assign(this, { resolve, reject }));
  }

  close() {
    this.socket.destroy();
  }

  receive(chunk) {
    this.chunks.push(chunk);
    if (this.missing === undefined) this.readHead();
    else this.missing -= chunk.length;
    if (this.missing !== 0) return;
    this.resolve({ status: this.status, body: Buffer.concat(this.chunks) });
  }

  /** Leaves in `chunks` what is of the body. */
  readHead() {
    const received = Buffer.concat(this.chunks);
    const end = received.indexOf(END_OF_HEADERS);
    if (end < 0) return;
    const head = received.toString('latin1', 0, end);
    const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
    if (length === undefined) return this.fail(new Error(`A reply without content-length: ${head}`));
    this.status = Number(head.slice(9, 12));
    const body = received.subarray(end + END_OF_HEADERS.length);
    this.chunks = [body];
    this.missing = Number(length) - body.length;
  }

  fail(error) {
    this.reject?.(error);
  }
}
