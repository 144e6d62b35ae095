import { createHash } from 'node:crypto';
import rateLimit from '@fastify/rate-limit';
import type { FastifyInstance } from 'fastify';
import { Problem } from '../../common/errors.js';
import { networkOf } from '../client-network.js';
import { presentedKey } from './auth.js';

/**
 * At most `perMinute` requests a minute to the routes of `api` for each key, and for each network that sends none or a
 * wrong one. Registered before `guard`, so that it counts what `guard` refuses.
 */
export async function limitRate(api: FastifyInstance, perMinute: number): Promise<void> {
  const { apiKeys } = api.service;
  await api.register(rateLimit, {
    global: false,
    max: perMinute,
    timeWindow: '1 minute',
    keyGenerator: (request) => {
      const key = presentedKey(request);
      const isKnown = key !== undefined && apiKeys.permissionOf(key) !== undefined;
      return isKnown ? createHash('sha256').update(key).digest('base64') : networkOf(request.ip);
    },
    errorResponseBuilder: (_request, { max, ttl }) => {
      const seconds = Math.ceil(ttl / 1000);
      const detail = `At most ${max} requests a minute are allowed; try again in ${seconds} seconds.`;
      return new Problem('rate_limited', detail, { limit_per_minute: max, retry_after_seconds: seconds });
    },
  });
  api.addHook('onRequest', api.rateLimit());
}
