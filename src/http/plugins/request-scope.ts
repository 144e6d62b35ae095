import { randomUUID } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { Problem } from '../../common/errors.js';
import { FORWARDED_HEADER, MODEL_HEADER } from '../../common/headers.js';
import type { CallContext } from '../../embedding/call-context.js';
import { UploadScope } from '../../inputs/upload-scope.js';
import type { ModelRegistry } from '../../serving/model-registry.js';
import type { ServedModel } from '../../serving/served-model.js';
import { SECURITY_HEADERS } from './security-headers.js';

declare module 'fastify' {
  interface FastifyRequest {
    scope: RequestScope;
  }
  interface FastifyInstance {
    /** Requests whose body may still be arriving, each with its reply. */
    incoming: Map<IncomingMessage, ServerResponse>;
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
  readonly record: CallContext['record'];
  /** `name@revision` of the model that answers. */
  model: string | undefined;
  private readonly reply: FastifyReply['raw'];
  private readonly models: ModelRegistry;
  private readonly stages = new Map<string, number>();

  constructor(request: FastifyRequest, reply: FastifyReply) {
    const controller = new AbortController();
    const { config, models, metrics } = request.server.service;
    this.reply = reply.raw;
    this.models = models;
    this.uploads = new UploadScope(config.MAX_UPLOAD_MB * 1e6);
    this.signal = controller.signal;
    this.forwarded = request.headers[FORWARDED_HEADER] !== undefined;
    // Every text of a request with many listens to this one signal.
    setMaxListeners(0, controller.signal);
    reply.raw.once('close', () => {
      if (!reply.raw.writableFinished) controller.abort();
      this.uploads.close();
    });
    const { stageSeconds } = metrics;
    this.record = (stage, modality, seconds, model) => {
      stageSeconds.observe({ stage, modality, model }, seconds);
      this.stages.set(stage, (this.stages.get(stage) ?? 0) + seconds);
    };
  }

  get replied(): Promise<void> {
    return new Promise((resolve) => {
      if (this.reply.closed) resolve();
      else this.reply.once('close', resolve);
    });
  }

  /** Keeps `model` open until the reply has been sent, and names it in the reply. */
  use(model: ServedModel): ServedModel {
    this.reply.once('close', this.models.lease(model));
    this.model = model.id;
    return model;
  }

  /** The value of a `Server-Timing` header: milliseconds of each stage; undefined when none was timed. */
  serverTiming(): string | undefined {
    if (this.stages.size === 0) return undefined;
    return [...this.stages].map(([stage, seconds]) => `${stage};dur=${(seconds * 1000).toFixed(2)}`).join(', ');
  }
}

/** Gives every request its scope, the headers of its reply, its metrics and its log line. */
export function openRequestScopes(app: FastifyInstance): void {
  const { metrics, lifecycle } = app.service;
  // Declared before it is set, so that all request objects have one shape.
  app.decorateRequest('scope');
  app.decorate('incoming', new Map());

  app.addHook('onRequest', async (request, reply) => {
    request.scope = new RequestScope(request, reply);
    app.incoming.set(request.raw, reply.raw);
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

  app.addHook('onResponse', async (request, reply) => {
    const route = request.routeOptions.url ?? 'none';
    const labels = { method: request.method, route, status: String(reply.statusCode) };
    metrics.requestSeconds.observe(labels, reply.elapsedTime / 1000);
    request.log.info(logLine(request, reply), 'request');
  });
}

function logLine(request: FastifyRequest, reply: FastifyReply): Record<string, unknown> {
  return {
    method: request.method,
    path: request.url.split('?')[0],
    status: reply.statusCode,
    ms: Math.round(reply.elapsedTime * 100) / 100,
  };
}
