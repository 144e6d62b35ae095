import { createHash, timingSafeEqual } from 'node:crypto';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Problem } from '../../common/errors.js';
import { type Config, listOf } from '../../config.js';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Whether the route changes what is stored: a read-only key may not call it. */
    writes?: boolean;
    /** Whether the route is for the operator: without keys, only this machine or the operator's port may call it. */
    administers?: boolean;
  }
}

/** What a key allows: to embed and search, or also to change what is stored. */
export type Permission = 'read' | 'write';

interface ApiKey {
  sha256: Buffer;
  permission: Permission;
}

const READ_ONLY_SUFFIX = ':read';
/** Shorter keys can be guessed. */
const MIN_KEY_CHARACTERS = 16;

/** The keys of the setting API_KEYS. Without keys everyone who reaches the service may call it. */
export class ApiKeys {
  private readonly keys: readonly ApiKey[];

  /** @throws Error when a key is too short, or when other machines could call a service that was not opened to them */
  constructor({ API_KEYS, ALLOW_ANONYMOUS, HOST }: Pick<Config, 'API_KEYS' | 'ALLOW_ANONYMOUS' | 'HOST'>) {
    this.keys = listOf(API_KEYS).map(readKey);
    if (this.keys.length > 0 || ALLOW_ANONYMOUS || isLoopback(HOST)) return;
    throw new Error(
      `HOST=${HOST} lets other machines call this service, and it has no keys. Either set API_KEYS to one or ` +
        'more keys (for example the output of "openssl rand -hex 24"), or set ALLOW_ANONYMOUS=true where ' +
        'something else controls access.',
    );
  }

  /** Whether there are any: then every call needs one. */
  get areRequired(): boolean {
    return this.keys.length > 0;
  }

  /** What a key allows; undefined for an unknown one. Takes the same time for every key. */
  permissionOf(key: string): Permission | undefined {
    const sha256 = hash(key);
    let found: Permission | undefined;
    for (const known of this.keys) if (timingSafeEqual(known.sha256, sha256)) found = known.permission;
    return found;
  }
}

function readKey(entry: string): ApiKey {
  const readOnly = entry.endsWith(READ_ONLY_SUFFIX);
  const key = readOnly ? entry.slice(0, -READ_ONLY_SUFFIX.length) : entry;
  if (key.length < MIN_KEY_CHARACTERS) {
    throw new Error(`API_KEYS: a key has ${key.length} characters; at least ${MIN_KEY_CHARACTERS} are needed.`);
  }
  return { sha256: hash(key), permission: readOnly ? 'read' : 'write' };
}

/** Only hashes are kept and compared, so that neither memory nor timing reveals a key. */
const hash = (key: string): Buffer => createHash('sha256').update(key).digest();

/** Lets only permitted callers use the routes of `api`. @param port `operator` where only the operator reaches it */
export function guard(api: FastifyInstance, port: 'public' | 'operator' = 'public'): void {
  const { apiKeys, config } = api.service;
  const keysRequired = apiKeys.areRequired;
  const isLocalOnly = !config.ALLOW_ANONYMOUS && isLoopback(config.HOST);
  const origins = new Set(listOf(config.CORS_ORIGINS));

  api.addHook('onRequest', async (request, reply) => {
    if (!keysRequired) {
      refuseForeignPages(request);
      if (request.routeOptions.config.administers) refuseAnonymousOperators();
      return;
    }
    const key = presentedKey(request);
    const permission = key === undefined ? undefined : apiKeys.permissionOf(key);
    if (permission === undefined) {
      reply.header('www-authenticate', 'Bearer');
      const what = key === undefined ? 'The request has no API key' : 'The API key is not one of this service';
      throw new Problem('unauthorized', `${what}; send "Authorization: Bearer <key>".`);
    }
    if (request.routeOptions.config.writes && permission === 'read') {
      throw new Problem('forbidden', 'This API key is read-only: it may embed and search, not change what is stored.');
    }
  });

  /** Without keys, everyone who reaches an open port could replace the model. */
  function refuseAnonymousOperators(): void {
    if (port === 'operator' || isLocalOnly) return;
    throw new Problem(
      'forbidden',
      'Where other machines may call without a key, this route needs API_KEYS, or ADMIN_PORT for the operator alone.',
    );
  }

  /**
   * Without keys, access from this machine is the only condition, and every page in a browser on it would meet it: by
   * a name that resolves to this machine (DNS rebinding), or by a form sent without consent (CSRF).
   */
  function refuseForeignPages({ headers, host, hostname, method }: FastifyRequest): void {
    if (isLocalOnly && !isLoopback(hostname)) {
      throw new Problem(
        'forbidden',
        'Without API_KEYS or ALLOW_ANONYMOUS=true, this service answers only requests for localhost.',
      );
    }
    const { origin } = headers;
    if (origin === undefined || method === 'GET' || method === 'HEAD') return;
    if (origins.has(origin) || hostOf(origin) === host) return;
    throw new Problem('forbidden', 'Pages of other origins may call this service only when CORS_ORIGINS lists them.');
  }
}

/** The key of a request: the bearer token, or the `x-api-key` header that some clients send instead. */
export function presentedKey({ headers }: FastifyRequest): string | undefined {
  const bearer = /^Bearer +(\S+)$/i.exec(headers.authorization ?? '')?.[1];
  const other = headers['x-api-key'];
  return bearer ?? (typeof other === 'string' ? other : undefined);
}

/** Whether an address to listen on, or the host of a URL, is the loopback of this machine. */
export const isLoopback = (host: string): boolean =>
  /^(localhost|127\.\d{1,3}\.\d{1,3}\.\d{1,3}|::1|\[::1\])$/i.test(host);

const hostOf = (origin: string): string | undefined => (URL.canParse(origin) ? new URL(origin).host : undefined);
