import fastifyCors from '@fastify/cors';
import type { FastifyInstance } from 'fastify';
import { MODEL_HEADER } from '../../common/headers.js';
import { type Config, listOf } from '../../config.js';

const ANY = '*';
const METHODS = ['GET', 'HEAD', 'POST', 'PATCH', 'DELETE'] as const;
/** The headers of our replies that a page may read. */
const EXPOSED_HEADERS = [
  ...['x-request-id', MODEL_HEADER, 'server-timing', 'location', 'allow', 'www-authenticate'],
  ...['retry-after', 'x-ratelimit-limit', 'x-ratelimit-remaining', 'x-ratelimit-reset'],
].join(', ');
/** How long a browser may remember a preflight: a page that is no longer allowed loses access after this time. */
const MAX_AGE_SECONDS = 600;
/** Replies differ by these headers of a request: no cache may give one origin's reply to another. */
const VARY = ['origin', 'access-control-request-method', 'access-control-request-headers'].join(', ');

/** The origins whose pages may call the service and read its replies: the setting CORS_ORIGINS. */
export class Cors {
  private readonly listed: ReadonlySet<string>;

  /** @throws Error when an entry is not an origin, or lets every page in where callers need no key */
  constructor({ CORS_ORIGINS, API_KEYS }: Pick<Config, 'CORS_ORIGINS' | 'API_KEYS'>) {
    this.listed = new Set(listOf(CORS_ORIGINS).map(readOrigin));
    if (!this.listed.has(ANY) || API_KEYS !== '') return;
    throw new Error(
      'CORS_ORIGINS=* lets every page of the web call this service, and it has no keys. Set API_KEYS, or list the origins.',
    );
  }

  /** As `@fastify/cors` takes them. */
  get origins(): string | string[] {
    return this.listed.has(ANY) ? ANY : [...this.listed];
  }

  get isOn(): boolean {
    return this.listed.size > 0;
  }

  allows(origin: string | undefined): boolean {
    return origin !== undefined && (this.listed.has(ANY) || this.listed.has(origin));
  }

  /** The headers that every reply has, errors included, so that a page can read what is wrong. */
  headersFor(origin: string | undefined): Record<string, string> {
    if (!this.isOn) return {};
    if (origin === undefined || !this.allows(origin)) return { vary: VARY };
    const allowed = this.listed.has(ANY) ? ANY : origin;
    // Never with credentials: callers are known by the key that a page sends, not by a cookie that a browser adds.
    return { vary: VARY, 'access-control-allow-origin': allowed, 'access-control-expose-headers': EXPOSED_HEADERS };
  }
}

/** @throws Error unless `entry` is an origin as browsers send it: scheme, host, and a port that is not the default */
function readOrigin(entry: string): string {
  if (entry === ANY) return entry;
  const { protocol, host, pathname, search, hash, username } = URL.canParse(entry) ? new URL(entry) : new URL('none:');
  if (host !== '' && ['', '/'].includes(pathname) && search + hash + username === '') return `${protocol}//${host}`;
  throw new Error(
    `CORS_ORIGINS: "${entry}" is not an origin. Write scheme and host, such as https://app.example.com; "null" stands ` +
      'for every sandboxed page and cannot be allowed.',
  );
}

/**
 * Answers the questions of browsers before any other check, and gives every later reply of `app` its CORS headers. What
 * is refused before hooks run (an undecodable path, a service that is closing) gets them from `headersFor`.
 */
export async function allowOrigins(app: FastifyInstance, cors: Cors): Promise<void> {
  if (!cors.isOn) return;
  app.addHook('onRequest', async ({ headers }, reply) => {
    reply.headers(cors.headersFor(headers.origin));
    // Private Network Access: a page of the internet asks before it calls a machine of a home or company.
    if (cors.allows(headers.origin) && headers['access-control-request-private-network'] === 'true')
      reply.header('access-control-allow-private-network', 'true');
  });
  // SDKs send headers of their own (x-stainless-os): those that a browser announces are allowed as announced.
  await app.register(fastifyCors, {
    origin: cors.origins,
    methods: [...METHODS],
    exposedHeaders: EXPOSED_HEADERS,
    maxAge: MAX_AGE_SECONDS,
    strictPreflight: false,
  });
}
