import { Type } from 'typebox';
import { Counts, Limits } from './common.js';

const Index = Type.Object(
  {
    store: Type.String(),
    available: Type.Boolean({ description: 'Whether it can store and search.' }),
    reason: Type.Optional(Type.String({ description: 'Why it is not available.' })),
    size: Type.Optional(Type.Integer()),
    vectors: Type.Optional(Counts),
  },
  { title: 'IndexHealth' },
);
const Device = Type.Union([Type.String(), Type.Null()], { description: 'Device on which the model runs.' });
const State = Type.Enum(['ok', 'degraded', 'down'], {
  description: 'degraded: it embeds, but not on its preferred device. down: it cannot embed.',
});
const Degraded = Type.Object(
  {
    since: Type.String({ format: 'date-time' }),
    reason: Type.String({ description: 'Why it does not run on its preferred device.' }),
  },
  { title: 'Degradation' },
);
const Identity = { name: Type.String(), revision: Type.String(), dim: Type.Integer() };

export const ModelHealth = Type.Object(
  {
    id: Type.String({
      description: 'Name and revision: the label "model" of the metrics, and the header x-onespace-model of replies.',
    }),
    ...Identity,
    default: Type.Boolean({ description: 'Whether it answers requests that name no model.' }),
    ready: Type.Boolean({ description: 'Whether it can embed.' }),
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
    live: Type.Boolean({ description: 'Whether the process answers.' }),
    ready: Type.Boolean({ description: 'Whether the default model can embed.' }),
    state: State,
    model: Type.Object(Identity),
    device: Device,
    degraded: Type.Optional(Degraded),
    index: Index,
    version: Type.String({ description: 'Version of the service.' }),
    uptime_seconds: Type.Number(),
    limits: Limits,
    models: Type.Array(ModelHealth, { description: 'Every served model; the fields above describe the first.' }),
  },
  { title: 'Health', description: 'The state of the service, its models and its limits.' },
);

export const healthSchema = {
  operationId: 'health',
  tags: ['service'],
  summary: 'Whether the service is up and ready, its models, and its limits',
  security: [],
  response: { 200: Health, 503: Health },
};
