import multipart from '@fastify/multipart';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import Fastify, { type FastifyInstance, LogController } from 'fastify';
import type { DestinationStream } from 'pino';
import { backupRoutes } from '../routes/backup.js';
import { embedRoutes } from '../routes/embed.js';
import { exportRoutes } from '../routes/export.js';
import { healthRoutes } from '../routes/health.js';
import { itemFileRoutes } from '../routes/item-files.js';
import { itemRoutes } from '../routes/items.js';
import { jobRoutes } from '../routes/jobs.js';
import { metricsRoutes } from '../routes/metrics.js';
import { openAiRoutes } from '../routes/openai.js';
import { retrieveRoutes } from '../routes/retrieve.js';
import { rolloutRoutes } from '../routes/rollout.js';
import { serveAdmin } from './admin-app.js';
import { MAX_ID_BYTES } from './common/item-id.js';
import type { Config } from './config.js';
import { controlAdmission } from './http/admission-control.js';
import { readJsonBodies } from './http/body/json-body.js';
import { trustedProxies } from './http/client-network.js';
import { Ports } from './http/lifecycle/ports.js';
import { describeRoutes } from './http/openapi/plugin.js';
import { guard } from './http/plugins/auth.js';
import { AllowedHosts, refuseForeignPages } from './http/plugins/browsers.js';
import { clientErrorHandler } from './http/plugins/client-error.js';
import { allowOrigins, Cors } from './http/plugins/cors.js';
import { answerFrameworkError, answerProblems } from './http/plugins/error-handler.js';
import { limitRate } from './http/plugins/rate-limit.js';
import { newRequestId, openRequestScopes } from './http/plugins/request-scope.js';
import { abortSlowBodies } from './http/plugins/slow-body.js';
import { MAX_FORM_FIELD_BYTES, MAX_FORM_FIELDS } from './http/request-limits.js';
import { validatorCompiler } from './http/validation/validator.js';
import { openLogFile } from './lib/log/log-file.js';
import { standardOutput } from './lib/log/standard-output.js';
import { openService } from './service.js';

/** The longest id, each of its bytes percent-encoded. */
const MAX_PARAM_CHARACTERS = 3 * MAX_ID_BYTES;

/** Assembles the service: engine, plugins, routes. When it is ready it serves `ports`, which may be open already. */
export async function buildApp(config: Config, ports = new Ports(config)): Promise<FastifyInstance> {
  const cors = new Cors(config);
  const hosts = new AllowedHosts(config);
  const app = Fastify({
    logger: { level: config.LOG_LEVEL, stream: await logDestination(config) },
    // `openRequestScopes` writes one line per request, with its status and duration.
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'request_id' }),
    genReqId: newRequestId,
    trustProxy: trustedProxies(config.TRUST_PROXY),
    bodyLimit: config.MAX_JSON_MB * 1e6,
    serverFactory: (handler) => ports.public.attach(handler),
    routerOptions: { maxParamLength: MAX_PARAM_CHARACTERS },
    forceCloseConnections: 'idle',
    // While the service closes, `openRequestScopes` refuses new requests with a problem document.
    return503OnClosing: false,
    clientErrorHandler: clientErrorHandler(),
    frameworkErrors: (error, request, reply) =>
      answerFrameworkError(error, request, reply.headers(cors.headersFor(request.headers.origin))),
  }).withTypeProvider<TypeBoxTypeProvider>();
  const service = await openService(config, ports, app.log);
  app.decorate('service', service);
  app.addHook('onClose', () => service.close());

  // The service reads JSON, multipart and media only.
  app.removeContentTypeParser('text/plain');
  app.setValidatorCompiler(validatorCompiler);
  // A serializer compiled from the schema of a reply takes five times as long for a vector.
  app.setSerializerCompiler(() => JSON.stringify);
  readJsonBodies(app);
  openRequestScopes(app);
  answerProblems(app);
  abortSlowBodies(app, config.SLOW_BODY_SECONDS);
  await allowOrigins(app, cors);
  // A page has no key to send: where all callers have one, only a list that was set restricts names.
  const anyName = service.apiKeys.areRequired && config.ALLOWED_HOSTS === '';
  refuseForeignPages(app, cors, anyName ? undefined : hosts);
  await describeRoutes(app);
  await app.register(multipart, {
    limits: {
      fileSize: config.MAX_UPLOAD_MB * 1e6,
      files: MAX_FORM_FIELDS,
      fields: MAX_FORM_FIELDS,
      parts: 2 * MAX_FORM_FIELDS,
      fieldSize: MAX_FORM_FIELD_BYTES,
    },
    throwFileSizeLimit: false,
  });
  await app.register(healthRoutes);
  await app.register((api) => servePublic(api, config));
  if (ports.admin !== undefined) serveAdmin(app, ports.admin, cors, hosts);
  app.addHook('onReady', async () => ports.ready());
  app.addHook('onClose', async () => ports.public.close());
  return app;
}

/** The standard output unless the settings name a file. */
async function logDestination({ LOG_FILE, LOG_MAX_MB, LOG_MAX_DAYS }: Config): Promise<DestinationStream> {
  if (LOG_FILE === '') return standardOutput();
  return openLogFile({ file: LOG_FILE, maxBytes: LOG_MAX_MB * 1e6, maxFiles: LOG_MAX_DAYS });
}

/** The routes of the public API, for permitted callers; a request that uses the model needs a permit. */
async function servePublic(api: FastifyInstance, { RATE_LIMIT, ADMIN_PORT }: Config): Promise<void> {
  if (RATE_LIMIT > 0) await limitRate(api, RATE_LIMIT);
  guard(api);
  controlAdmission(api);
  for (const routes of [embedRoutes, retrieveRoutes, itemRoutes, itemFileRoutes, jobRoutes, exportRoutes, openAiRoutes])
    await api.register(routes);
  if (ADMIN_PORT !== 0) return;
  await api.register(metricsRoutes);
  await api.register(rolloutRoutes);
  await api.register(backupRoutes);
}
