import Fastify, { type FastifyInstance, LogController } from 'fastify';
import { backupRoutes } from '../routes/backup.js';
import { healthRoutes } from '../routes/health.js';
import { metricsRoutes } from '../routes/metrics.js';
import { rolloutRoutes } from '../routes/rollout.js';
import type { Listener } from './http/lifecycle/listener.js';
import { guard } from './http/plugins/auth.js';
import { type AllowedHosts, refuseForeignPages } from './http/plugins/browsers.js';
import type { Cors } from './http/plugins/cors.js';
import { answerProblems } from './http/plugins/error-handler.js';
import { newRequestId, observeReply } from './http/plugins/request-scope.js';
import { validatorCompiler } from './http/validation/validator.js';

/**
 * Serves health and metrics, without keys, on a port that only the operator's network reaches; and the routes for
 * rollouts and backups, with a key where the service has keys. Because metrics need none, its names are always restricted.
 */
export function serveAdmin(app: FastifyInstance, listener: Listener, cors: Cors, hosts: AllowedHosts): void {
  const admin: FastifyInstance = Fastify({
    loggerInstance: app.log,
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'request_id' }),
    genReqId: newRequestId,
    serverFactory: (handler) => listener.attach(handler),
  });
  admin.decorate('service', app.service);
  admin.addHook('onRequest', async (request, reply) => observeReply(request, reply));
  admin.setValidatorCompiler(validatorCompiler);
  answerProblems(admin);
  refuseForeignPages(admin, cors, hosts);
  admin.register(healthRoutes);
  admin.register(metricsRoutes);
  admin.register(async (operator) => {
    guard(operator, 'operator');
    await operator.register(rolloutRoutes);
    await operator.register(backupRoutes);
  });
  app.addHook('onReady', async () => {
    await admin.ready();
    await listener.listen();
  });
  app.addHook('onClose', async () => {
    listener.close();
    await admin.close();
  });
}
