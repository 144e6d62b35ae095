import { randomUUID } from 'node:crypto';
import { STATUS_CODES } from 'node:http';
import { Socket } from 'node:net';
import type { FastifyInstance, FastifyReply } from 'fastify';
import { Problem } from '../../common/errors.js';

export const requestTimeout = () => new Problem('request_timeout', 'The request did not arrive in the time allowed.');

/** A flood of broken requests must not fill the disk; the next line says how many were left out. */
const MAX_LINES_PER_SECOND = 10;

/** Node's code for a connection that the client closed in the middle of a request: it hardly reads the reply. */
const CUT_OFF = 'HPE_INVALID_EOF_STATE';

/** Statuses that were sent on the socket itself. */
const statuses = new WeakMap<Socket, number>();

/** The status that was sent on a connection, which was closed then; undefined where replies alone were sent. */
export const statusOnSocket = (socket: Socket): number | undefined => statuses.get(socket);

/** Sends a problem on the socket itself, and closes the connection. */
function answerOnSocket(socket: Socket, problem: Problem, requestId: string): void {
  const body = JSON.stringify(problem.toDocument(requestId));
  const head = [
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}`,
    'content-type: application/problem+json',
    `content-length: ${Buffer.byteLength(body)}`,
    `x-request-id: ${requestId}`,
    'connection: close',
    ...(problem.status === 503 ? [`retry-after: ${problem.extensions.retry_after_seconds ?? 1}`] : []),
  ];
  socket.write(`${head.join('\r\n')}\r\n\r\n${body}`);
  socket.destroySoon();
}

/** Ends a request whose body is still arriving: with `problem`, unless a reply has begun. It is logged as a request. */
export function refuseBody({ request, raw }: FastifyReply, problem: Problem): void {
  const { socket } = request.raw;
  if (!(socket instanceof Socket) || raw.headersSent || !socket.writable) {
    socket.destroy();
    return;
  }
  statuses.set(socket, problem.status);
  answerOnSocket(socket, problem, request.id);
}

/**
 * Answers what never became a request: malformed HTTP, headers that are too large, or a request that did not arrive in
 * time.
 * @returns the problem and the id that the client received; undefined when the client has gone
 */
export function answerClientError(
  error: NodeJS.ErrnoException,
  socket: Socket,
): { problem: Problem; id: string } | undefined {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return undefined;
  }
  const problem = toProblem(error);
  if (error.code !== CUT_OFF) statuses.set(socket, problem.status);
  const id = randomUUID();
  answerOnSocket(socket, problem, id);
  return { problem, id };
}

/** Answers in the same way, and logs each with the id that the client received. */
export function clientErrorHandler(): (error: NodeJS.ErrnoException, socket: Socket) => void {
  const takeLine = limitLines();
  return function answer(this: FastifyInstance, error, socket) {
    const answered = answerClientError(error, socket);
    const suppressed = answered && takeLine();
    if (answered === undefined || suppressed === undefined) return;
    const { id, problem } = answered;
    const line = { request_id: id, status: problem.status, client: socket.remoteAddress };
    const reason = error.code ?? error.message;
    this.log.info(suppressed === 0 ? { ...line, reason } : { ...line, reason, suppressed }, 'request');
  };
}

/** @returns for each line how many were left out since the last one; undefined when it is to be left out itself */
function limitLines(): () => number | undefined {
  let [second, lines, suppressed] = [0, 0, 0];
  return () => {
    const now = Math.floor(performance.now() / 1000);
    if (now !== second) [second, lines] = [now, 0];
    if (lines === MAX_LINES_PER_SECOND) {
      suppressed++;
      return undefined;
    }
    lines++;
    const before = suppressed;
    suppressed = 0;
    return before;
  };
}

function toProblem({ code }: NodeJS.ErrnoException): Problem {
  if (code === 'HPE_HEADER_OVERFLOW') return new Problem('headers_too_large', 'The headers together may have 16 kB.');
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return requestTimeout();
  return new Problem('invalid_request', 'The request is not valid HTTP.');
}
