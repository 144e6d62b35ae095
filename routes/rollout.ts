import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { readJson } from '../src/http/body/read-body.js';
import { jsonContent } from '../src/http/schemas/body-content.js';
import { ForceQuery, RolloutStatus, StartBody, TrafficBody } from '../src/http/schemas/rollout.js';

const ROUTE = '/admin/rollout';
const config = { writes: true, administers: true };
const common = { tags: ['rollout'], response: { 200: RolloutStatus } };

/** Replaces the default model while the service runs. Every route answers with the state afterwards. */
export const rolloutRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { rollout } = app.service;

  const getSchema = { ...common, operationId: 'getRollout', summary: 'The state of the rollout' };
  app.get(ROUTE, { config: { administers: true }, schema: getSchema }, () => rollout.status());

  const startSchema = {
    ...common,
    operationId: 'startRollout',
    summary: 'Load a candidate beside the default model; from now on writes go to both indexes',
    body: { content: jsonContent(StartBody, []) },
  };
  app.post(ROUTE, { config, schema: startSchema }, async (request) => {
    const { model, share_percent, shadow_percent } = readJson<typeof StartBody>(request);
    await rollout.start(model, { trafficPercent: share_percent, shadowPercent: shadow_percent });
    return rollout.status();
  });

  const trafficSchema = {
    ...common,
    operationId: 'shareRollout',
    summary: 'Change the percent of searches that the candidate answers, and of those it shadows',
    body: { content: jsonContent(TrafficBody, []) },
  };
  app.patch(ROUTE, { config, schema: trafficSchema }, async (request) => {
    const { share_percent, shadow_percent } = readJson<typeof TrafficBody>(request);
    await rollout.adjust(share_percent, shadow_percent);
    return rollout.status();
  });

  const dropSchema = {
    ...common,
    operationId: 'dropRollout',
    summary: 'End the rollout and unload the model that is not the default; its index stays on disk',
  };
  app.delete(ROUTE, { config, schema: dropSchema }, async () => {
    await rollout.drop();
    return rollout.status();
  });

  const promoteSchema = {
    ...common,
    operationId: 'promoteRollout',
    summary: 'Make the candidate the default model; the previous one is kept in sync',
    querystring: ForceQuery,
  };
  app.post(`${ROUTE}/promote`, { config, schema: promoteSchema }, async ({ query }) => {
    await rollout.promote(query.force);
    return rollout.status();
  });

  const rollbackSchema = {
    ...common,
    operationId: 'rollbackRollout',
    summary: 'Make the model before the promotion the default again',
    querystring: ForceQuery,
  };
  app.post(`${ROUTE}/rollback`, { config, schema: rollbackSchema }, async ({ query }) => {
    await rollout.rollback(query.force);
    return rollout.status();
  });
};
