import cors from '@fastify/cors';
import multipart from '@fastify/multipart';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import Fastify, { type FastifyInstance, LogController } from 'fastify';
import { embedRoutes } from '../routes/embed.js';
import { healthRoutes } from '../routes/health.js';
import { itemRoutes } from '../routes/items.js';
import { metricsRoutes } from '../routes/metrics.js';
import { openAiRoutes } from '../routes/openai.js';
import { putItemsRoutes } from '../routes/put-items.js';
import { retrieveRoutes } from '../routes/retrieve.js';
import { rolloutRoutes } from '../routes/rollout.js';
import { serveAdmin } from './admin-app.js';
import { MODEL_HEADER } from './common/headers.js';
import type { Config } from './config.js';
import { listOf } from './http/api-keys.js';
import { describeRoutes } from './http/openapi/plugin.js';
import { guard } from './http/plugins/auth.js';
import { answerFrameworkError, answerProblems } from './http/plugins/error-handler.js';
import { limitRate } from './http/plugins/rate-limit.js';
import { observeRequests, takePermits } from './http/plugins/request-context.js';
import { addSecurityHeaders } from './http/plugins/security-headers.js';
import { answerClientError, giveUpSlowBodies } from './http/plugins/slow-body.js';
import { validatorCompiler } from './http/validation/validator.js';
import { openService, type Service } from './service.js';

declare module 'fastify' {
  interface FastifyInstance {
    service: Service;
  }
}

const MAX_FIELD_BYTES = 1_000_000;
/** How often Node looks for requests that are overdue. */
const OVERDUE_CHECK_MS = 1000;
/** An id of 256 characters, each percent-encoded. */
const MAX_PARAM_CHARACTERS = 256 * 9;

/** Assembles the service: engine, plugins, routes. It listens to nothing yet. */
export async function buildApp(config: Config): Promise<FastifyInstance> {
  const app = Fastify({
    logger: { level: config.LOG_LEVEL },
    // One line per request, with its status and time, is written by `observeRequests`.
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'request_id' }),
    genReqId: () => crypto.randomUUID(),
    trustProxy: config.TRUST_PROXY === '' ? false : listOf(config.TRUST_PROXY),
    bodyLimit: config.MAX_JSON_MB * 1e6,
    requestTimeout: config.REQUEST_TIMEOUT_SECONDS * 1000,
    keepAliveTimeout: config.KEEP_ALIVE_SECONDS * 1000,
    http: {
      headersTimeout: Math.min(config.HEADERS_TIMEOUT_SECONDS, config.REQUEST_TIMEOUT_SECONDS) * 1000,
      connectionsCheckingInterval: OVERDUE_CHECK_MS,
    },
    routerOptions: { maxParamLength: MAX_PARAM_CHARACTERS },
    forceCloseConnections: 'idle',
    // While it closes, `observeRequests` refuses what still comes, with a problem document.
    return503OnClosing: false,
    clientErrorHandler: answerClientError,
    frameworkErrors: answerFrameworkError,
  }).withTypeProvider<TypeBoxTypeProvider>();
  const service = await openService(config, app.log);
  app.decorate('service', service);
  app.addHook('onClose', () => service.close());

  // JSON, multipart and media are all the service reads.
  app.removeContentTypeParser('text/plain');
  app.setValidatorCompiler(validatorCompiler);
  // Replies are typed where they are made. A serialiser made from their schemas takes five times as long over a vector.
  app.setSerializerCompiler(() => JSON.stringify);
  observeRequests(app);
  answerProblems(app);
  addSecurityHeaders(app);
  giveUpSlowBodies(app, config.SLOW_BODY_SECONDS);
  await openToPages(app, listOf(config.CORS_ORIGINS));
  await describeRoutes(app);
  await app.register(multipart, {
    limits: { fileSize: config.MAX_UPLOAD_MB * 1e6, files: 64, fields: 64, parts: 128, fieldSize: MAX_FIELD_BYTES },
    throwFileSizeLimit: false,
  });
  await app.register(healthRoutes);
  await app.register((api) => serveCallers(api, config));
  if (config.ADMIN_PORT !== 0) serveAdmin(app, { host: config.HOST, port: config.ADMIN_PORT });
  return app;
}

/** The routes for those who may call, each request with a permit where it uses the model. */
async function serveCallers(api: FastifyInstance, { RATE_LIMIT, ADMIN_PORT }: Config): Promise<void> {
  guard(api);
  takePermits(api);
  if (RATE_LIMIT > 0) await limitRate(api, RATE_LIMIT);
  for (const routes of [embedRoutes, retrieveRoutes, putItemsRoutes, itemRoutes, openAiRoutes])
    await api.register(routes);
  if (ADMIN_PORT !== 0) return;
  await api.register(metricsRoutes);
  await api.register(rolloutRoutes);
}

/** Lets pages of these origins call; of no others. */
async function openToPages(app: FastifyInstance, origins: readonly string[]): Promise<void> {
  if (origins.length === 0) return;
  await app.register(cors, {
    origin: [...origins],
    methods: ['GET', 'HEAD', 'POST', 'DELETE'],
    exposedHeaders: ['x-request-id', MODEL_HEADER, 'server-timing', 'retry-after', 'location'],
  });
}
