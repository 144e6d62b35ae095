import type { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { refuseBody, requestTimeout } from './client-error.js';

/** A client that sends less than this for a whole window only holds a connection and a permit. */
const MIN_BYTES_PER_SECOND = 1000;
const SWEEPS_PER_WINDOW = 4;

/** Bytes that a connection had received when its current window began. */
interface Window {
  startMs: number;
  bytes: number;
}

/** Aborts requests whose body arrives too slowly. One timer looks at all of them. */
export function abortSlowBodies(app: FastifyInstance, windowSeconds: number): void {
  const windows = new WeakMap<IncomingMessage, Window>();
  const minBytes = MIN_BYTES_PER_SECOND * windowSeconds;

  const sweep = () => {
    const nowMs = performance.now();
    for (const [message, reply] of app.incoming) {
      const { socket } = message;
      // A request made inside the process has no socket.
      if (message.complete || !(socket instanceof Socket) || socket.destroyed) {
        app.incoming.delete(message);
        continue;
      }
      const window = windows.get(message);
      if (window !== undefined && nowMs - window.startMs < 1000 * windowSeconds) continue;
      windows.set(message, { startMs: nowMs, bytes: socket.bytesRead });
      if (window === undefined || socket.bytesRead - window.bytes >= minBytes) continue;
      // When bytes wait to be read, it is the service that is slow.
      if (message.readableLength > 0 && !reply.raw.headersSent) continue;
      refuseBody(reply, requestTimeout());
    }
  };
  const timer = setInterval(sweep, (1000 * windowSeconds) / SWEEPS_PER_WINDOW);
  timer.unref();
  app.addHook('onClose', async () => clearInterval(timer));
}
