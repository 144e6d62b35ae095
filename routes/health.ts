import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { type Static, Type } from 'typebox';
import { totalOf } from '../src/common/modality.js';
import { limitsOf } from '../src/http/request-limits.js';
import { Counts, Limits } from '../src/http/schemas/common.js';
import type { ServedModel } from '../src/serving/served-model.js';
import type { VectorStore } from '../src/store/vector-store.js';

const Index = Type.Object(
  {
    store: Type.String(),
    available: Type.Boolean({ description: 'It can store and search.' }),
    size: Type.Optional(Type.Integer()),
    vectors: Type.Optional(Counts),
  },
  { title: 'IndexHealth' },
);
const Device = Type.Union([Type.String(), Type.Null()], { description: 'Where the model runs.' });
const State = Type.Enum(['ok', 'degraded', 'down'], {
  description: 'Degraded: it embeds, but not on the device where it should. Down: it cannot embed.',
});
const Degraded = Type.Object(
  {
    since: Type.String({ format: 'date-time' }),
    reason: Type.String({ description: 'Why it does not run where it should.' }),
  },
  { title: 'Degradation' },
);
const Identity = { name: Type.String(), revision: Type.String(), dim: Type.Integer() };

const ModelHealth = Type.Object(
  {
    id: Type.String({ description: 'Name and revision: the label "model" of the metrics, and of replies.' }),
    ...Identity,
    default: Type.Boolean({ description: 'It answers those who name no model.' }),
    ready: Type.Boolean({ description: 'It can embed.' }),
    state: State,
    device: Device,
    degraded: Type.Optional(Degraded),
    index: Index,
    limits: Limits,
  },
  { title: 'ModelHealth' },
);

export const Health = Type.Object(
  {
    live: Type.Boolean({ description: 'The process answers.' }),
    ready: Type.Boolean({ description: 'The default model can embed.' }),
    state: State,
    model: Type.Object(Identity),
    device: Device,
    degraded: Type.Optional(Degraded),
    index: Index,
    uptime_seconds: Type.Number(),
    limits: Limits,
    models: Type.Array(ModelHealth, { description: 'Every model served; what stands above is of the first.' }),
  },
  { title: 'Health', description: 'How the service is, what it serves, and its limits.' },
);

export const healthRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { config, models } = app.service;

  app.get(
    '/health',
    {
      schema: {
        operationId: 'health',
        tags: ['service'],
        summary: 'Whether the service lives and is ready, what it serves, and its limits',
        security: [],
        response: { 200: Health, 503: Health },
      },
    },
    async (_request, reply) => {
      const [first, ...others] = await Promise.all(models.all.map(describe));
      const { name, revision, dim, ready, state, device, degraded, index, limits } = first as Static<
        typeof ModelHealth
      >;
      return reply.code(ready ? 200 : 503).send({
        live: true,
        ready,
        state,
        model: { name, revision, dim },
        device,
        ...(degraded === undefined ? {} : { degraded }),
        index,
        uptime_seconds: Math.round(process.uptime()),
        limits,
        models: [first as Static<typeof ModelHealth>, ...others],
      });
    },
  );

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

/** A store that cannot be reached does not make the process unready: embedding goes on without it. */
async function describeIndex(store: VectorStore) {
  try {
    const vectors = await store.count();
    return { available: true, size: totalOf(vectors), vectors };
  } catch {
    return { available: false };
  }
}
