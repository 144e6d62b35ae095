import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { type Static, Type } from 'typebox';
import { jsonBody } from '../src/http/body/read-input.js';
import { jsonContent } from '../src/http/schemas/body-content.js';

const percent = (description: string) => Type.Number({ minimum: 0, maximum: 100, description });
const SHARE = percent('Percent of searches that the candidate answers.');
const SHADOW = percent('Percent of the other searches that it is given as well, after the reply, to compare.');

const StartBody = Type.Object(
  {
    model: Type.String({
      minLength: 1,
      maxLength: 4096,
      description: 'A model that is served, or one under models/, or the path of its folder.',
    }),
    share_percent: Type.With(SHARE, { default: 0 }),
    shadow_percent: Type.With(SHADOW, { default: 100 }),
  },
  { additionalProperties: false, title: 'RolloutStart' },
);
const ShareBody = Type.Object(
  { share_percent: Type.Optional(SHARE), shadow_percent: Type.Optional(SHADOW) },
  { additionalProperties: false, minProperties: 1, title: 'RolloutShares' },
);
const ForceQuery = Type.Object(
  { force: Type.Boolean({ default: false, description: 'Also when its index is known to lack items.' }) },
  { additionalProperties: false },
);

const Party = { id: Type.String(), items: Type.Optional(Type.Integer({ description: 'In its index.' })) };
const Second = Type.Object(
  { ...Party, loaded: Type.Boolean({ description: 'False where it could not be loaded at the start.' }) },
  { title: 'RolloutModel' },
);
const Latency = Type.Union([Type.Object({ p50: Type.Number(), p95: Type.Number() }), Type.Null()]);

export const RolloutStatus = Type.Object(
  {
    phase: Type.Enum(['none', 'candidate', 'promoted'], {
      description: 'candidate: one is tried; promoted: it answers, and the model before it is kept level.',
    }),
    default: Type.Object(Party),
    candidate: Type.Optional(Second),
    previous: Type.Optional(Second),
    share_percent: Type.Number(),
    shadow_percent: Type.Number(),
    since: Type.Optional(Type.String()),
    missed: Type.Object(
      { count: Type.Integer(), ids: Type.Array(Type.String(), { description: 'Some of them.' }) },
      { description: 'Items in which the second index is known to differ.' },
    ),
    comparisons: Type.Object(
      {
        count: Type.Integer(),
        overlap_at_10: Type.Union([Type.Number(), Type.Null()], {
          description: 'Share of the first 10 results of the default model that the candidate has among its own.',
        }),
        default_ms: Latency,
        candidate_ms: Latency,
      },
      { description: 'The latest 1000 searches that both models answered.' },
    ),
  },
  { title: 'Rollout', description: 'Where the change from one model to another stands.' },
);

const response = { 200: RolloutStatus };
const config = { writes: true, administers: true };
const tags = ['rollout'];

/** How the default model is replaced while the service goes on. */
export const rolloutRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { rollout } = app.service;

  app.get(
    '/admin/rollout',
    {
      config: { administers: true },
      schema: { operationId: 'getRollout', tags, summary: 'Where the rollout stands', response },
    },
    () => rollout.status(),
  );

  app.post(
    '/admin/rollout',
    {
      config,
      schema: {
        operationId: 'startRollout',
        tags,
        summary: 'Load a candidate beside the default model; from now on both indexes are written',
        body: { content: jsonContent(StartBody, []) },
        response,
      },
    },
    async (request) => {
      const { model, share_percent, shadow_percent } = jsonBody<typeof StartBody>(request);
      await rollout.start(model, { share: share_percent, shadow: shadow_percent });
      return rollout.status();
    },
  );

  app.patch(
    '/admin/rollout',
    {
      config,
      schema: {
        operationId: 'shareRollout',
        tags,
        summary: 'Change how many searches the candidate answers, and how many it shadows',
        body: { content: jsonContent(ShareBody, []) },
        response,
      },
    },
    async (request) => {
      const { share_percent, shadow_percent }: Static<typeof ShareBody> = jsonBody<typeof ShareBody>(request);
      await rollout.adjust({
        ...(share_percent === undefined ? {} : { share: share_percent }),
        ...(shadow_percent === undefined ? {} : { shadow: shadow_percent }),
      });
      return rollout.status();
    },
  );

  app.delete(
    '/admin/rollout',
    {
      config,
      schema: {
        operationId: 'dropRollout',
        tags,
        summary: 'End the rollout: the model that is not the default goes; its index stays on disk',
        response,
      },
    },
    async () => {
      await rollout.drop();
      return rollout.status();
    },
  );

  for (const [step, summary] of [
    ['promote', 'Make the candidate the default model; the one before is kept level'],
    ['rollback', 'Make the model before the promotion the default again'],
  ] as const) {
    app.post(
      `/admin/rollout/${step}`,
      { config, schema: { operationId: `${step}Rollout`, tags, summary, querystring: ForceQuery, response } },
      async ({ query }) => {
        await rollout[step](query.force);
        return rollout.status();
      },
    );
  }
};
