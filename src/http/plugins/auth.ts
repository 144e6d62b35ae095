import { createHash, timingSafeEqual } from 'node:crypto';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Problem } from '../../common/errors.js';
import { type Config, listOf } from '../../config.js';
import { networkOf } from '../client-network.js';
import { WrongKeys } from './wrong-keys.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** Names the API key of the request in the log: the first digits of its SHA-256. */
    keyId: string | undefined;
  }
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
  /** Names the key in the log; the key cannot be guessed from it. */
  id: string;
  sha256: Buffer;
  permission: Permission;
}

const READ_ONLY_SUFFIX = ':read';
/** Shorter keys can be guessed. */
const MIN_KEY_CHARACTERS = 16;
const KEY_ID_BYTES = 4;

/** The keys of the setting API_KEYS. Without keys everyone who reaches the service may call it. */
export class ApiKeys {
  readonly wrong = new WrongKeys();
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

  /** The key of the settings that equals this one; undefined for an unknown one. Takes the same time for every key. */
  find(key: string): ApiKey | undefined {
    const sha256 = hash(key);
    let found: ApiKey | undefined;
    for (const known of this.keys) if (timingSafeEqual(known.sha256, sha256)) found = known;
    return found;
  }

  /** What a key allows; undefined for an unknown one. */
  permissionOf(key: string): Permission | undefined {
    return this.find(key)?.permission;
  }
}

function readKey(entry: string): ApiKey {
  const readOnly = entry.endsWith(READ_ONLY_SUFFIX);
  const key = readOnly ? entry.slice(0, -READ_ONLY_SUFFIX.length) : entry;
  if (key.length < MIN_KEY_CHARACTERS) {
    throw new Error(`API_KEYS: a key has ${key.length} characters; at least ${MIN_KEY_CHARACTERS} are needed.`);
  }
  const sha256 = hash(key);
  return { id: sha256.toString('hex', 0, KEY_ID_BYTES), sha256, permission: readOnly ? 'read' : 'write' };
}

/** Only hashes are kept and compared, so that neither memory nor timing reveals a key. */
const hash = (key: string): Buffer => createHash('sha256').update(key).digest();

/**
 * Lets only permitted callers use the routes of `api`: with keys, those that have one; without, everyone whom
 * `refuseForeignPages` lets through, but only the operator may administer.
 * @param port `operator` where only the operator reaches it
 */
export function guard(api: FastifyInstance, port: 'public' | 'operator' = 'public'): void {
  const { apiKeys, config } = api.service;
  const isLocalOnly = !config.ALLOW_ANONYMOUS && isLoopback(config.HOST);
  api.decorateRequest('keyId', undefined);
  if (apiKeys.areRequired) requireKey(api, apiKeys);
  else if (port === 'public' && !isLocalOnly) refuseAnonymousOperators(api);
}

function requireKey(api: FastifyInstance, apiKeys: ApiKeys): void {
  api.addHook('onRequest', async (request, reply) => {
    const key = presentedKey(request);
    const known = key === undefined ? undefined : apiKeys.find(key);
    if (known === undefined) {
      reply.header('www-authenticate', 'Bearer');
      throw key === undefined ? noKey() : wrongKey(apiKeys.wrong.count(networkOf(request.ip)));
    }
    request.keyId = known.id;
    if (request.routeOptions.config.writes && known.permission === 'read') {
      throw new Problem('forbidden', 'This API key is read-only: it may embed and search, not change what is stored.');
    }
  });
}

const noKey = () => new Problem('unauthorized', 'The request has no API key; send "Authorization: Bearer <key>".');

function wrongKey(waitSeconds: number): Problem {
  if (waitSeconds === 0) return new Problem('unauthorized', 'The API key is not one of this service.');
  const detail = `Too many wrong API keys came from this address; try again in ${waitSeconds} seconds, or with a right one.`;
  return new Problem('rate_limited', detail, { retry_after_seconds: waitSeconds });
}

/** Without keys, everyone who reaches an open port could replace the model. */
function refuseAnonymousOperators(api: FastifyInstance): void {
  api.addHook('onRequest', async ({ routeOptions }) => {
    if (!routeOptions.config.administers) return;
    throw new Problem(
      'forbidden',
      'Where other machines may call without a key, this route needs API_KEYS, or ADMIN_PORT for the operator alone.',
    );
  });
}

/** The key of a request: the bearer token, or the `x-api-key` header that some clients send instead. */
export function presentedKey({ headers }: FastifyRequest): string | undefined {
  const bearer = /^Bearer +(\S+)$/i.exec(headers.authorization ?? '')?.[1];
  const other = headers['x-api-key'];
  return bearer ?? (typeof other === 'string' ? other : undefined);
}

/** Whether an address to listen on is the loopback of this machine. */
const isLoopback = (host: string): boolean => /^(localhost|127\.\d{1,3}\.\d{1,3}\.\d{1,3}|::1)$/i.test(host);
