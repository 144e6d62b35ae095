import { randomUUID } from 'node:crypto';
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { Problem } from '../../common/errors.js';

/** An error of Node's HTTP parser, or the service's own reason to end a request whose body is arriving. */
type ClientError = NodeJS.ErrnoException & { problem?: Problem };

export const requestTimeout = () => new Problem('request_timeout', 'The request did not arrive in the time allowed.');

/**
 * Answers, on the socket itself, what never became a request: malformed HTTP, headers that are too large, or a request
 * that did not arrive in time.
 */
export function answerClientError(error: ClientError, socket: Socket): void {
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
    ...(problem.status === 503 ? [`retry-after: ${problem.extensions.retry_after_seconds ?? 1}`] : []),
  ];
  socket.write(`${head.join('\r\n')}\r\n\r\n${body}`);
  socket.destroySoon();
}

function toProblem({ code, problem }: ClientError): Problem {
  if (problem !== undefined) return problem;
  if (code === 'HPE_HEADER_OVERFLOW') return new Problem('headers_too_large', 'The headers together may have 16 kB.');
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return requestTimeout();
  return new Problem('invalid_request', 'The request is not valid HTTP.');
}
