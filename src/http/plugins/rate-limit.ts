import { createHash } from 'node:crypto';
import rateLimit from '@fastify/rate-limit';
import type { FastifyInstance } from 'fastify';
import { Problem } from '../../common/errors.js';
import { presentedKey } from './auth.js';

/** At most `perMinute` requests a minute to the routes of `api`, per key, or per address where there are no keys. */
export async function limitRate(api: FastifyInstance, perMinute: number): Promise<void> {
  const { areRequired: keysRequired } = api.service.apiKeys;
  await api.register(rateLimit, {
    max: perMinute,
    timeWindow: '1 minute',
    keyGenerator: (request) => {
      const key = keysRequired ? presentedKey(request) : undefined;
      return key === undefined ? request.ip : createHash('sha256').update(key).digest('base64');
    },
    errorResponseBuilder: (_request, { max, ttl }) => {
      const seconds = Math.ceil(ttl / 1000);
      const detail = `At most ${max} requests a minute are allowed; try again in ${seconds} seconds.`;
      return new Problem('rate_limited', detail, { limit_per_minute: max, retry_after_seconds: seconds });
    },
  });
}
