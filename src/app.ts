import cors from '@fastify/cors';
import multipart from '@fastify/multipart';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import Fastify, { type FastifyInstance, LogController } from 'fastify';
import { embedRoutes } from '../routes/embed.js';
import { healthRoutes } from '../routes/health.js';
import { itemRoutes } from '../routes/items.js';
import { metricsRoutes } from '../routes/metrics.js';
import { openAiRoutes } from '../routes/openai.js';
import { describeRoutes } from '../routes/openapi.js';
import { answerProblems } from '../routes/problems.js';
import { observeRequests } from '../routes/request.js';
import { retrieveRoutes } from '../routes/retrieve.js';
import { validatorCompiler } from '../routes/validator.js';
import type { Config } from './config.js';
import { openService, type Service } from './service.js';

declare module 'fastify' {
  interface FastifyInstance {
    service: Service;
  }
}

const MAX_FIELD_BYTES = 1_000_000;
const REQUEST_TIMEOUT_MS = 300_000;

/** Assembles the service: engine, plugins, routes. It listens to nothing yet. */
export async function buildApp(config: Config): Promise<FastifyInstance> {
  const app = Fastify({
    logger: { level: config.LOG_LEVEL },
    // One line per request, with its status and time, is written by `observeRequests`.
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'request_id' }),
    genReqId: () => crypto.randomUUID(),
    bodyLimit: config.MAX_JSON_MB * 1e6,
    requestTimeout: REQUEST_TIMEOUT_MS,
    forceCloseConnections: 'idle',
  }).withTypeProvider<TypeBoxTypeProvider>();
  const service = await openService(config, app.log);
  app.decorate('service', service);
  app.addHook('onClose', () => service.close());

  // JSON, multipart and media are all the service reads.
  app.removeContentTypeParser('text/plain');
  app.setValidatorCompiler(validatorCompiler);
  observeRequests(app);
  answerProblems(app);
  await describeRoutes(app);
  const origins = config.CORS_ORIGINS.split(',').filter((origin) => origin !== '');
  if (origins.length > 0) await app.register(cors, { origin: origins });
  await app.register(multipart, {
    limits: { fileSize: config.MAX_UPLOAD_MB * 1e6, files: 64, fields: 64, parts: 128, fieldSize: MAX_FIELD_BYTES },
    throwFileSizeLimit: false,
  });
  for (const routes of [embedRoutes, retrieveRoutes, itemRoutes, openAiRoutes, healthRoutes, metricsRoutes])
    await app.register(routes);
  return app;
}
