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
  description:
    'degraded: it embeds, but not on its preferred device, or its store cannot be reached. down: it cannot embed.',
});
const ServiceState = Type.Enum(['ok', 'degraded', 'down', 'draining'], {
  description: 'That of the default model; draining: the service is about to stop.',
});
const Degraded = Type.Object(
  {
    since: Type.String({ format: 'date-time' }),
    reason: Type.String({ description: 'Why it does not run on its preferred device, or cannot search.' }),
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
    ready: Type.Boolean({ description: 'Whether the default model can embed, and the service is not about to stop.' }),
    state: ServiceState,
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

/** The reply of /health while the service starts. */
const Starting = Type.Object(
  {
    live: Type.Boolean(),
    ready: Type.Boolean(),
    state: Type.Literal('starting'),
    activity: Type.String({ description: 'What the start is doing: loading onespace-mini.' }),
    progress: Type.Optional(Type.Number({ description: 'Part of it that is done, from 0 to 1.' })),
    uptime_seconds: Type.Number(),
  },
  { title: 'Starting' },
);

export const ReadinessReason = Type.Object(
  {
    code: Type.Enum(['starting', 'draining', 'model_down', 'model_moved', 'store_unavailable']),
    model: Type.Optional(Type.String({ description: 'Name and revision of the model concerned.' })),
    detail: Type.String(),
  },
  { title: 'ReadinessReason' },
);

export const Readiness = Type.Object(
  {
    ready: Type.Boolean({ description: 'Whether a balancer should send requests here.' }),
    state: Type.Enum(['starting', 'ready', 'draining']),
    reasons: Type.Array(ReadinessReason, { description: 'Why it is not ready.' }),
    degraded: Type.Array(ReadinessReason, { description: 'What does not work, and would not elsewhere either.' }),
  },
  { title: 'Readiness' },
);

const probe = { tags: ['service'], security: [] };

export const liveSchema = {
  ...probe,
  operationId: 'live',
  summary: 'Whether the process answers; for the liveness probe of an orchestrator',
  response: { 200: Type.Object({ live: Type.Boolean() }, { title: 'Liveness' }) },
};

export const readySchema = {
  ...probe,
  operationId: 'ready',
  summary: 'Whether requests should be sent here; for balancers and the readiness probe of an orchestrator',
  response: { 200: Readiness, 503: Readiness },
};

export const healthSchema = {
  operationId: 'health',
  tags: ['service'],
  summary: 'Whether the service is up and ready, its models, and its limits',
  security: [],
  response: { 200: Health, 503: Type.Union([Health, Starting]) },
};
