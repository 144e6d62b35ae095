import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Problem } from '../../common/errors.js';
import { isLoopback, listOf } from '../api-keys.js';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Whether the route changes what is stored: a read-only key may not call it. */
    writes?: boolean;
    /** Whether the route is for the operator: without keys, only this machine or the operator's port may call it. */
    administers?: boolean;
  }
}

/** Lets only those call the routes of `api` who may. @param port whether only the operator reaches it */
export function guard(api: FastifyInstance, port: 'everybody' | 'operator' = 'everybody'): void {
  const { access, config } = api.service;
  const origins = new Set(listOf(config.CORS_ORIGINS));

  api.addHook('onRequest', async (request, reply) => {
    if (!access.needsKey) {
      refuseForeignPages(request);
      if (request.routeOptions.config.administers) refuseStrangers();
      return;
    }
    const key = presentedKey(request);
    const permission = key === undefined ? undefined : access.permissionOf(key);
    if (permission === undefined) {
      reply.header('www-authenticate', 'Bearer');
      const what = key === undefined ? 'No API key came' : 'The API key is not one of this service';
      throw new Problem('unauthorized', `${what}; send "Authorization: Bearer <key>".`);
    }
    if (request.routeOptions.config.writes && permission === 'read') {
      throw new Problem('forbidden', 'This API key is read-only: it may embed and search, not change what is stored.');
    }
  });

  /** Without keys, everybody who reaches an open port could put another model in place. */
  function refuseStrangers(): void {
    if (port === 'operator' || (!config.ALLOW_ANONYMOUS && isLoopback(config.HOST))) return;
    throw new Problem(
      'forbidden',
      'Where other machines may call without a key, this needs API_KEYS, or ADMIN_PORT for the operator alone.',
    );
  }

  /**
   * Without keys, being on this machine is what lets one in, and so it would let in any page in a browser on it:
   * by a name that points here (DNS rebinding), or by a form sent without asking (CSRF).
   */
  function refuseForeignPages({ headers, host, hostname, method }: FastifyRequest): void {
    const isOpen = config.ALLOW_ANONYMOUS || !isLoopback(config.HOST);
    if (!isOpen && !isLoopback(hostname)) {
      throw new Problem(
        'forbidden',
        'Without API_KEYS or ALLOW_ANONYMOUS=true, this service answers only to localhost as its host.',
      );
    }
    const { origin } = headers;
    if (origin === undefined || method === 'GET' || method === 'HEAD') return;
    if (origins.has(origin) || hostOf(origin) === host) return;
    throw new Problem('forbidden', 'Pages of other origins may call this service only when CORS_ORIGINS lists them.');
  }
}

/** The key of a request: as a bearer token, or in the header that some clients use instead. */
export function presentedKey({ headers }: FastifyRequest): string | undefined {
  const bearer = /^Bearer +(\S+)$/i.exec(headers.authorization ?? '')?.[1];
  const other = headers['x-api-key'];
  return bearer ?? (typeof other === 'string' ? other : undefined);
}

const hostOf = (origin: string): string | undefined => (URL.canParse(origin) ? new URL(origin).host : undefined);
