import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { Static } from 'typebox';
import { Problem } from '../src/common/errors.js';
import { totalOf } from '../src/common/modality.js';
import { VERSION } from '../src/common/version.js';
import { readinessOf } from '../src/http/readiness.js';
import { limitsOf } from '../src/http/request-limits.js';
import { healthSchema, liveSchema, type ModelHealth, readySchema } from '../src/http/schemas/health.js';
import type { ServedModel } from '../src/serving/served-model.js';

/** Probes come every second: their lines would fill the log. */
const logLevel = 'warn';

export const healthRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { config, models, lifecycle } = app.service;

  app.get('/livez', { schema: liveSchema, logLevel }, async () => ({ live: true }));

  app.get('/readyz', { schema: readySchema, logLevel }, async (_request, reply) => {
    const readiness = await readinessOf(lifecycle, models, config);
    return reply.code(readiness.ready ? 200 : 503).send(readiness);
  });

  app.get('/health', { schema: healthSchema }, async (_request, reply) => {
    const [first, ...others] = await Promise.all(models.all.map(describe));
    const { id: _, default: __, name, revision, dim, ...rest } = first as Static<typeof ModelHealth>;
    const isStaying = lifecycle.phase === 'ready';
    const ready = rest.ready && isStaying;
    return reply.code(ready ? 200 : 503).send({
      live: true,
      model: { name, revision, dim },
      ...rest,
      version: VERSION,
      ready,
      state: isStaying ? rest.state : 'draining',
      uptime_seconds: Math.round(process.uptime()),
      models: [first as Static<typeof ModelHealth>, ...others],
    });
  });

  async function describe(model: ServedModel): Promise<Static<typeof ModelHealth>> {
    const { id, manifest, encoder } = model;
    const { name, revision, dim } = manifest;
    const index = await describeIndex(model);
    const degradation = encoder.degradation ?? lackOfStore(model);
    return {
      id,
      ...{ name, revision, dim },
      default: model === models.default,
      ready: encoder.isReady,
      state: !encoder.isReady ? 'down' : degradation === undefined ? 'ok' : 'degraded',
      device: encoder.device ?? null,
      ...(degradation === undefined
        ? {}
        : { degraded: { since: degradation.since.toISOString(), reason: degradation.reason } }),
      index: { store: config.STORE, ...index },
      limits: limitsOf(config, manifest),
    };
  }
};

/** Counts may be some seconds old, so they are given only while the store answers. */
async function describeIndex({ store, storeProbe }: ServedModel) {
  if (!(await storeProbe.isUp())) return { available: false, ...reasonOf(storeProbe.failure) };
  try {
    const vectors = await store.count();
    return { available: true, size: totalOf(vectors), vectors };
  } catch (error) {
    return { available: false, ...reasonOf(error) };
  }
}

const reasonOf = (error: unknown) => (error instanceof Problem ? { reason: error.detail } : {});

/** A service whose store cannot be reached still embeds. */
function lackOfStore({ storeProbe: { downSince } }: ServedModel) {
  return downSince === undefined ? undefined : { since: downSince, reason: 'the vector store cannot be reached' };
}
