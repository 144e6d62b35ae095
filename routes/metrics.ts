import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Type } from 'typebox';

const Measurements = { description: 'A line per measurement.', content: { 'text/plain': { schema: Type.String() } } };

export const metricsRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { registry } = app.service.metrics;

  app.get(
    '/metrics',
    {
      schema: {
        operationId: 'metrics',
        tags: ['service'],
        summary: 'Measurements in the text format of Prometheus',
        response: { 200: Measurements },
      },
    },
    async (_request, reply) => reply.type(registry.contentType).send(await registry.metrics()),
  );
};
