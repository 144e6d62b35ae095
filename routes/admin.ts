import Fastify, { type FastifyInstance } from 'fastify';
import { healthRoutes } from './health.js';
import { metricsRoutes } from './metrics.js';
import { answerProblems } from './problems.js';

/** Serves health and metrics, without keys, on a port that only the operator's network reaches. */
export function serveAdmin(app: FastifyInstance, { host, port }: { host: string; port: number }): void {
  const admin = Fastify({ logger: false });
  admin.decorate('service', app.service);
  answerProblems(admin);
  admin.register(healthRoutes);
  admin.register(metricsRoutes);
  app.addHook('onReady', async () => {
    await admin.listen({ host, port });
  });
  app.addHook('onClose', () => admin.close());
}
