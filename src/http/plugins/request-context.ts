import { setMaxListeners } from 'node:events';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { Problem } from '../../common/errors.js';
import { MODEL_HEADER } from '../../common/headers.js';
import type { RecordStage } from '../../observability/stage.js';

declare module 'fastify' {
  interface FastifyRequest {
    /**
     * Fires when the client goes away before its reply is complete. Fastify's own `signal` follows the
     * request's stream, which closes when its body has been read.
     */
    clientSignal: AbortSignal;
    /** Times a stage for the metrics and for this reply's `Server-Timing` header. */
    record: (...[stage, modality, seconds, model]: [...Parameters<RecordStage>, model?: string]) => void;
    stages: Map<string, number>;
  }
  interface FastifyContextConfig {
    /** Whether the route uses the model: its requests need a permit. */
    encodes?: boolean;
  }
}

/** Gives every request a cancellation signal, its timings and its log line. */
export function observeRequests(app: FastifyInstance): void {
  const { metrics } = app.service;
  let closing = false;
  // Set for each request below; declaring them first keeps every request object of one shape.
  app.decorateRequest('clientSignal');
  app.decorateRequest('record');
  app.decorateRequest('stages');
  app.decorateRequest('answeredBy');

  app.addHook('onRequest', async (request, reply) => {
    request.clientSignal = signalOf(reply);
    request.stages = new Map();
    request.record = (stage, modality, seconds, model = '') => {
      metrics.stageSeconds.observe({ stage, modality, model }, seconds);
      request.stages.set(stage, (request.stages.get(stage) ?? 0) + seconds);
    };
    reply.header('x-request-id', request.id);
    if (closing) throw new Problem('shutting_down', 'The service is shutting down.');
  });

  app.addHook('preClose', async () => {
    closing = true;
  });

  app.addHook('onSend', async (request, reply) => {
    // A connection kept alive after its reply would hold up the shutdown until it times out.
    if (closing) reply.header('connection', 'close');
    if (request.answeredBy !== undefined) reply.header(MODEL_HEADER, request.answeredBy);
    if (request.stages.size > 0) reply.header('server-timing', serverTiming(request.stages));
  });

  app.addHook('onResponse', async (request, reply) => {
    const route = request.routeOptions.url ?? 'none';
    const labels = { method: request.method, route, status: String(reply.statusCode) };
    metrics.requestSeconds.observe(labels, reply.elapsedTime / 1000);
    request.log.info(logLine(request, reply), 'request');
  });
}

/** Takes a permit for every request of `api` that uses the model, before its body is read. */
export function takePermits(api: FastifyInstance): void {
  const { permits } = api.service;
  api.addHook('onRequest', async (request, reply) => {
    if (request.routeOptions.config.encodes) reply.raw.once('close', permits.take(bodyBytes(request)));
  });
}

/** What a body will need: what its header says, or all that is allowed when it does not say. */
function bodyBytes({ headers, server }: FastifyRequest): number {
  const limit = server.service.config.MAX_UPLOAD_MB * 1e6;
  const said = Number(headers['content-length']);
  if (said >= 0) return Math.min(said, limit);
  return headers['transfer-encoding'] === undefined ? 0 : limit;
}

/** Calls `task` when the reply has been sent, or its client has gone. */
export function whenSent({ raw }: FastifyReply, task: () => void): void {
  if (raw.closed) task();
  else raw.once('close', task);
}

function signalOf(reply: FastifyReply): AbortSignal {
  const controller = new AbortController();
  // Every text of a request with many listens to the one signal.
  setMaxListeners(0, controller.signal);
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished) controller.abort();
  });
  return controller.signal;
}

const serverTiming = (stages: Map<string, number>) =>
  [...stages].map(([stage, seconds]) => `${stage};dur=${(seconds * 1000).toFixed(2)}`).join(', ');

function logLine(request: FastifyRequest, reply: FastifyReply): Record<string, unknown> {
  return {
    method: request.method,
    path: request.url.split('?')[0],
    status: reply.statusCode,
    ms: Math.round(reply.elapsedTime * 100) / 100,
  };
}
