import { randomUUID } from 'node:crypto';
import { STATUS_CODES } from 'node:http';
import { Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { Problem } from '../../common/errors.js';

/** How Node says that a request did not arrive in time. */
const TIMEOUT = 'ERR_HTTP_REQUEST_TIMEOUT';
/** Slower than this for a whole window is not a slow line but a client that holds a connection. */
const MIN_BYTES_PER_SECOND = 1000;

/**
 * Answers, on the bare socket, what never became a request: broken HTTP, headers too large, or a request that
 * did not arrive in time.
 */
export function answerClientError(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const problem = toProblem(error);
  const requestId = randomUUID();
  const body = JSON.stringify(problem.toDocument(requestId));
  const head = [
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}`,
    'content-type: application/problem+json',
    `content-length: ${Buffer.byteLength(body)}`,
    `x-request-id: ${requestId}`,
    'connection: close',
  ];
  socket.write(`${head.join('\r\n')}\r\n\r\n${body}`);
  socket.destroySoon();
}

function toProblem({ code }: NodeJS.ErrnoException): Problem {
  if (code === 'HPE_HEADER_OVERFLOW') return new Problem('headers_too_large', 'The headers may have 16 kB together.');
  if (code === TIMEOUT) return new Problem('request_timeout', 'The request did not arrive in the time allowed.');
  return new Problem('invalid_request', 'What came is not HTTP that this service understands.');
}

/** Gives up bodies that arrive so slowly that they only hold a connection and a permit. */
export function giveUpSlowBodies(app: FastifyInstance, windowSeconds: number): void {
  app.addHook('onRequest', async ({ raw }, reply) => {
    const { socket } = raw;
    if (!(socket instanceof Socket)) return; // a request made inside the process came over no line
    let received = socket.bytesRead;
    const timer = setInterval(() => {
      if (raw.complete || socket.destroyed) return clearInterval(timer);
      const bytes = socket.bytesRead - received;
      received = socket.bytesRead;
      const isAnswered = reply.raw.headersSent;
      // With bytes waiting to be read, it is the service that is slow.
      if (bytes >= MIN_BYTES_PER_SECOND * windowSeconds || (raw.readableLength > 0 && !isAnswered)) return;
      if (isAnswered) socket.destroy();
      else app.server.emit('clientError', Object.assign(new Error('slow body'), { code: TIMEOUT }), socket);
    }, windowSeconds * 1000);
    timer.unref();
    reply.raw.once('close', () => {
      if (raw.complete) clearInterval(timer);
    });
  });
}
