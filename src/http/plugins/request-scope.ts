import { randomUUID } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { clientClosed, Problem } from '../../common/errors.js';
import { FORWARDED_HEADER, MODEL_HEADER } from '../../common/headers.js';
import type { CallContext } from '../../embedding/call-context.js';
import { UploadScope } from '../../inputs/upload-scope.js';
import type { Outcome } from '../../observability/metrics.js';
import { type RequestSpan, readTrace, type TraceHeaders, traceIdOf } from '../../observability/trace.js';
import type { ModelRegistry } from '../../serving/model-registry.js';
import type { ServedModel } from '../../serving/served-model.js';
import { maxBodyBytes } from '../request-limits.js';
import { statusOnSocket } from './client-error.js';
import { SECURITY_HEADERS } from './security-headers.js';

declare module 'fastify' {
  interface FastifyRequest {
    scope: RequestScope;
  }
  interface FastifyInstance {
    /** Requests whose body may still be arriving, each with its reply. */
    incoming: Map<IncomingMessage, FastifyReply>;
  }
}

export const newRequestId = (): string => randomUUID();

/** What lives as long as one request: its files, its models, its cancellation and its timings. */
export class RequestScope implements CallContext {
  readonly uploads: UploadScope;
  /**
   * Aborted when the client closes the connection before its reply is complete. Fastify's own `signal` follows the
   * request's stream, which closes when its body has been read.
   */
  readonly signal: AbortSignal;
  readonly forwarded: boolean;
  /** The trace that the request belongs to, for requests to other services. */
  readonly trace: TraceHeaders | undefined;
  /** Present while traces are sent. */
  readonly span: RequestSpan | undefined;
  readonly record: CallContext['record'];
  /** `name@revision` of the model that answers. */
  model: string | undefined;
  /** Resolves when the reply has been sent, or the connection closed before. */
  readonly replied: Promise<void>;
  private readonly ends: (() => void)[] = [];
  private readonly models: ModelRegistry;
  private readonly stages = new Map<string, number>();

  constructor(request: FastifyRequest, reply: FastifyReply) {
    const controller = new AbortController();
    const { config, models, metrics, tracing } = request.server.service;
    this.models = models;
    const stores = request.routeOptions.config?.stores === true;
    this.uploads = new UploadScope(config.MAX_UPLOAD_MB * 1e6, stores ? maxBodyBytes(request) : undefined);
    this.signal = controller.signal;
    this.forwarded = request.headers[FORWARDED_HEADER] !== undefined;
    const parent = request.headers.traceparent === undefined ? undefined : readTrace(request.headers);
    this.span = tracing?.startRequest(describe(request), parent);
    this.trace = this.span?.headers ?? parent;
    if (this.trace !== undefined) request.log = request.log.child({ trace_id: traceIdOf(this.trace) });
    // Every text of a request with many listens to this one signal.
    setMaxListeners(0, controller.signal);
    // One listener for all that ends here: the emitter takes many for a leak.
    this.replied = new Promise((resolve) => {
      reply.raw.once('close', () => {
        if (!reply.raw.writableFinished) controller.abort();
        this.uploads.close();
        for (const end of this.ends) end();
        resolve();
      });
    });
    const { stageSeconds } = metrics;
    this.record = (stage, modality, seconds, model, endedAgo = 0) => {
      stageSeconds.observe({ stage, modality, model }, seconds);
      this.stages.set(stage, (this.stages.get(stage) ?? 0) + seconds);
      this.span?.addStage({ stage, modality, seconds, model, endedAgo });
    };
  }

  /**
   * Keeps `model` open until the reply has been sent, and names it in the reply.
   * @throws Problem `client_closed` when the client has gone: nothing would end the lease
   */
  use(model: ServedModel): ServedModel {
    if (this.signal.aborted) throw clientClosed();
    this.ends.push(this.models.lease(model));
    this.model = model.id;
    return model;
  }

  /** The value of a `Server-Timing` header: milliseconds of each stage; undefined when none was timed. */
  serverTiming(): string | undefined {
    if (this.stages.size === 0) return undefined;
    return [...this.stages].map(([stage, seconds]) => `${stage};dur=${(seconds * 1000).toFixed(2)}`).join(', ');
  }
}

const describe = (request: FastifyRequest) => ({
  method: request.method,
  path: pathOf(request),
  scheme: request.protocol,
  clientAddress: request.ip,
  userAgent: request.headers['user-agent'],
  requestId: request.id,
});

/** Gives every request its scope, the headers of its reply, its metrics and its log line. */
export function openRequestScopes(app: FastifyInstance): void {
  const { lifecycle } = app.service;
  // Declared before it is set, so that all request objects have one shape.
  app.decorateRequest('scope');
  app.decorate('incoming', new Map());

  app.addHook('onRequest', async (request, reply) => {
    reply.raw.setMaxListeners(MAX_LISTENERS);
    request.scope = new RequestScope(request, reply);
    observeReply(request, reply);
    app.incoming.set(request.raw, reply);
    reply.raw.once('close', () => {
      if (request.raw.complete) app.incoming.delete(request.raw);
    });
    reply.header('x-request-id', request.id);
  });

  // After every `onRequest`, so that the reply has its CORS headers and a page can read it.
  app.addHook('preParsing', async () => {
    if (lifecycle.phase === 'closing') throw new Problem('shutting_down', 'The service is shutting down.');
  });

  app.addHook('preClose', async () => {
    lifecycle.phase = 'closing';
  });

  app.addHook('onSend', async ({ scope, raw }, reply) => {
    for (const [name, value] of SECURITY_HEADERS) if (!reply.hasHeader(name)) reply.header(name, value);
    // A client that keeps its connection would use it when it closes, and not know what became of its request. Where
    // the body is still arriving, closing the connection would lose the reply.
    if (lifecycle.phase !== 'ready' && raw.complete) reply.header('connection', 'close');
    if (scope.model !== undefined) reply.header(MODEL_HEADER, scope.model);
    const timing = scope.serverTiming();
    if (timing !== undefined) reply.header('server-timing', timing);
  });

  app.addHook('onRoute', ({ method, url, schema }) => {
    const { response = {}, hide = false } = (schema ?? {}) as { response?: object; hide?: boolean };
    const successes = Object.keys(response).filter((status) => status.startsWith('2'));
    if (!hide && method !== 'HEAD') app.service.metrics.startRoute(String(method), url, successes);
  });
}

/** Each part that waits for the end of a reply listens to it, Fastify among them; Node warns from the eleventh on. */
const MAX_LISTENERS = 30;
/** Of probes and scrapes, which would be most of the log. */
const QUIET_ROUTES = new Set(['/health', '/livez', '/readyz', '/metrics']);
/** The status of a reply that the client did not wait for, in metrics and the log. */
const CLIENT_CLOSED = 499;
/** A client that gives up sooner has not lost its patience: it has changed its mind. */
const PATIENCE_MS = 1000;

/** Counts and logs a request when it ends, also one that is refused before its handler or whose client disconnects. */
export function observeReply(request: FastifyRequest, reply: FastifyReply): void {
  // A connection that is closed has no address any more.
  const client = request.ip;
  // A reply also finishes when its connection is cut off before it was sent.
  let isSent = false;
  reply.raw.once('finish', () => {
    isSent = !request.raw.socket.destroyed;
  });
  reply.raw.once('close', () => {
    const { metrics } = request.server.service;
    const { url: route } = request.routeOptions;
    const { status, outcome } = endOf(request, reply, isSent);
    const { method, scope } = request;
    metrics.requestSeconds.observe(
      { method, route: route ?? 'none', status: String(status) },
      reply.elapsedTime / 1000,
    );
    metrics.requests.inc({ method, route: route ?? 'none', outcome });
    scope?.span?.end({ route, status, model: scope.model });
    const level = QUIET_ROUTES.has(route ?? '') ? 'debug' : 'info';
    request.log[level]({ ...logLine(request, reply, status), client }, 'request');
  });
}

function endOf(request: FastifyRequest, reply: FastifyReply, isSent: boolean): { status: number; outcome: Outcome } {
  if (isSent && reply.statusCode !== CLIENT_CLOSED) return withOutcome(reply.statusCode);
  const answered = statusOnSocket(request.raw.socket);
  if (answered !== undefined) return withOutcome(answered);
  const waited = request.raw.complete && reply.elapsedTime >= PATIENCE_MS;
  return { status: CLIENT_CLOSED, outcome: waited ? 'abandoned' : 'aborted' };
}

const withOutcome = (status: number): { status: number; outcome: Outcome } => ({
  status,
  outcome: status < 400 ? 'ok' : status < 500 ? 'invalid' : 'failed',
});

function logLine(request: FastifyRequest, reply: FastifyReply, status: number): Record<string, unknown> {
  const { method, scope, keyId, routeOptions } = request;
  return {
    method,
    path: pathOf(request),
    route: routeOptions.url,
    status,
    // What a client received that did not wait for the rest.
    ...(status !== reply.statusCode && reply.raw.headersSent ? { sent_status: reply.statusCode } : {}),
    ms: Math.round(reply.elapsedTime * 100) / 100,
    ...bytesOf(request.raw.socket),
    key: keyId,
    model: scope?.model,
  };
}

const pathOf = ({ url }: FastifyRequest): string => url.split('?', 1)[0] ?? '';

/** Bytes that a connection had received and sent when its last request ended. */
const counted = new WeakMap<Socket, { read: number; written: number }>();

/** What has passed over a connection since its last request: heads and bodies, whole or not. */
function bytesOf(socket: Socket): { bytes_in: number; bytes_out: number } {
  const { read, written } = counted.get(socket) ?? { read: 0, written: 0 };
  const { bytesRead, bytesWritten } = socket;
  counted.set(socket, { read: bytesRead, written: bytesWritten });
  return { bytes_in: bytesRead - read, bytes_out: bytesWritten - written };
}
