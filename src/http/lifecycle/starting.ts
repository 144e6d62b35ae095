import { randomUUID } from 'node:crypto';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { Problem } from '../../common/errors.js';
import { toProblemDocument } from '../plugins/error-handler.js';
import { SECURITY_HEADERS } from '../plugins/security-headers.js';
import type { Lifecycle } from './lifecycle.js';

/** The longest steps of a start take a minute or more, the shortest a second. */
const RETRY_AFTER_SECONDS = 2;

/**
 * Answers every request while the service starts: 200 to `/livez`, and 503 to everything else, with what the start is
 * doing. It reads no body; Node discards what arrives of one, within the time limits of the server.
 */
export function answerWhileStarting(lifecycle: Lifecycle): RequestListener {
  return (request, response) => {
    const id = randomUUID();
    response.setHeaders(new Map([...SECURITY_HEADERS, ['x-request-id', id]]));
    const path = request.url?.split('?')[0];
    if (path === '/livez') return send(response, 200, { live: true });
    response.setHeader('retry-after', RETRY_AFTER_SECONDS);
    if (path === '/readyz') return send(response, 503, readiness(lifecycle));
    if (path === '/health') return send(response, 503, health(lifecycle));
    response.setHeader('content-type', 'application/problem+json');
    send(response, 503, problem(lifecycle, id, request));
  };
}

function send(response: ServerResponse, status: number, body: object): void {
  if (!response.hasHeader('content-type')) response.setHeader('content-type', 'application/json; charset=utf-8');
  response.writeHead(status).end(JSON.stringify(body));
}

const readiness = (lifecycle: Lifecycle) => ({
  ready: false,
  state: 'starting',
  reasons: [{ code: 'starting', detail: `The service is ${lifecycle.describeStart()}.` }],
  degraded: [],
});

const health = (lifecycle: Lifecycle) => ({
  live: true,
  ready: false,
  state: 'starting',
  ...stepOf(lifecycle),
  uptime_seconds: Math.round(process.uptime()),
});

function problem(lifecycle: Lifecycle, id: string, { url = '/' }: IncomingMessage): object {
  const detail = `The service is ${lifecycle.describeStart()}. Try again in a few seconds.`;
  const extensions = { ...stepOf(lifecycle), retry_after_seconds: RETRY_AFTER_SECONDS };
  return toProblemDocument(new Problem('starting', detail, extensions), { id, url });
}

const stepOf = ({ activity, progress }: Lifecycle) => ({ activity, ...(progress === undefined ? {} : { progress }) });
