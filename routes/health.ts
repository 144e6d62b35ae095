import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { Static } from 'typebox';
import { Problem } from '../src/common/errors.js';
import { totalOf } from '../src/common/modality.js';
import { VERSION } from '../src/common/version.js';
import { limitsOf } from '../src/http/request-limits.js';
import { healthSchema, type ModelHealth } from '../src/http/schemas/health.js';
import type { ServedModel } from '../src/serving/served-model.js';
import type { VectorStore } from '../src/store/vector-store.js';

export const healthRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { config, models } = app.service;

  app.get('/health', { schema: healthSchema }, async (_request, reply) => {
    const [first, ...others] = await Promise.all(models.all.map(describe));
    const { id: _, default: __, name, revision, dim, ready, ...rest } = first as Static<typeof ModelHealth>;
    return reply.code(ready ? 200 : 503).send({
      live: true,
      ready,
      model: { name, revision, dim },
      ...rest,
      version: VERSION,
      uptime_seconds: Math.round(process.uptime()),
      models: [first as Static<typeof ModelHealth>, ...others],
    });
  });

  async function describe(model: ServedModel): Promise<Static<typeof ModelHealth>> {
    const { id, manifest, encoder } = model;
    const { name, revision, dim } = manifest;
    const { isReady, degradation } = encoder;
    return {
      id,
      ...{ name, revision, dim },
      default: model === models.default,
      ready: isReady,
      state: !isReady ? 'down' : degradation === undefined ? 'ok' : 'degraded',
      device: encoder.device ?? null,
      ...(degradation === undefined
        ? {}
        : { degraded: { since: degradation.since.toISOString(), reason: degradation.reason } }),
      index: { store: config.STORE, ...(await describeIndex(model.store)) },
      limits: limitsOf(config, manifest),
    };
  }
};

/** An unreachable store does not make the service unready: it can still embed. */
async function describeIndex(store: VectorStore) {
  try {
    const vectors = await store.count();
    return { available: true, size: totalOf(vectors), vectors };
  } catch (error) {
    return { available: false, ...(error instanceof Problem ? { reason: error.detail } : {}) };
  }
}
