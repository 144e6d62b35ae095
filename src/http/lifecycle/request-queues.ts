import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { Turns } from '../../lib/async/event-loop.js';

/**
 * Serves the requests of a connection one after the other. Node.js passes on every request that it has read: a client
 * that sends a thousand in one packet (pipelining), and reads no reply, would have a thousand under way. Those that
 * waited for a reply before them begin one in each turn of the event loop, whichever connection they came by.
 */
export class RequestQueues {
  /** Of each connection with a request under way, what begins those behind it. */
  private readonly waiting = new WeakMap<Socket, (() => void)[]>();
  private readonly turns = new Turns();

  constructor(private readonly serve: RequestListener) {}

  /** Takes a request: serves it now, or when its connection has replied to those before it. */
  take(request: IncomingMessage, response: ServerResponse<IncomingMessage> & { req: IncomingMessage }): void {
    const { socket } = request;
    const begin = () => {
      response.once('close', () => void this.continueWith(socket));
      this.serve(request, response);
    };
    const behind = this.waiting.get(socket);
    if (behind !== undefined) {
      behind.push(begin);
      return;
    }
    this.waiting.set(socket, []);
    begin();
  }

  /** Whether a request of the connection is under way. */
  isServing(socket: Socket): boolean {
    return this.waiting.has(socket);
  }

  private async continueWith(socket: Socket): Promise<void> {
    const next = this.waiting.get(socket)?.shift();
    if (next === undefined) {
      this.waiting.delete(socket);
      return;
    }
    await this.turns.next();
    // Nobody receives a reply after one that said `connection: close`, nor when the client has gone.
    if (socket.writable) next();
  }
}
