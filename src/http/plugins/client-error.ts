import { randomUUID } from 'node:crypto';
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { Problem } from '../../common/errors.js';

/** An error of Node's HTTP parser, or the service's own reason to end a request whose body is arriving. */
type ClientError = NodeJS.ErrnoException & { problem?: Problem };

export const requestTimeout = () => new Problem('request_timeout', 'The request did not arrive in the time allowed.');

/** A flood of broken requests must not fill the disk; the next line says how many were left out. */
const MAX_LINES_PER_SECOND = 10;

/**
 * Answers, on the socket itself, what never became a request: malformed HTTP, headers that are too large, or a request
 * that did not arrive in time. Each is logged with the id that the client received.
 */
export function clientErrorHandler(): (error: ClientError, socket: Socket) => void {
  const takeLine = limitLines();
  return function answer(this: FastifyInstance, error, socket) {
    if (error.code === 'ECONNRESET' || !socket.writable) {
      socket.destroy();
      return;
    }
    const problem = toProblem(error);
    const requestId = randomUUID();
    const suppressed = takeLine();
    if (suppressed !== undefined) {
      const [status, client] = [problem.status, socket.remoteAddress];
      const line = { request_id: requestId, status, client, reason: error.code ?? error.message };
      this.log.info(suppressed === 0 ? line : { ...line, suppressed }, 'request');
    }
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

function toProblem({ code, problem }: ClientError): Problem {
  if (problem !== undefined) return problem;
  if (code === 'HPE_HEADER_OVERFLOW') return new Problem('headers_too_large', 'The headers together may have 16 kB.');
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return requestTimeout();
  return new Problem('invalid_request', 'The request is not valid HTTP.');
}
