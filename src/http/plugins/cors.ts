import type { FastifyInstance } from 'fastify';
import { MODEL_HEADER } from '../../common/headers.js';
import { type Config, listOf } from '../../config.js';

const ANY = '*';
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
  private readonly origins: ReadonlySet<string>;

  /** @throws Error when an entry is not an origin, or lets every page in where callers need no key */
  constructor({ CORS_ORIGINS, API_KEYS }: Pick<Config, 'CORS_ORIGINS' | 'API_KEYS'>) {
    this.origins = new Set(listOf(CORS_ORIGINS).map(readOrigin));
    if (!this.origins.has(ANY) || API_KEYS !== '') return;
    throw new Error(
      'CORS_ORIGINS=* lets every page of the web call this service, and it has no keys. Set API_KEYS, or list the origins.',
    );
  }

  get isOn(): boolean {
    return this.origins.size > 0;
  }

  allows(origin: string | undefined): boolean {
    return origin !== undefined && (this.origins.has(ANY) || this.origins.has(origin));
  }

  /** The headers that every reply has, errors included, so that a page can read what is wrong. */
  headersFor(origin: string | undefined): Record<string, string> {
    if (!this.isOn) return {};
    if (origin === undefined || !this.allows(origin)) return { vary: VARY };
    const allowed = this.origins.has(ANY) ? ANY : origin;
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

/** Answers the questions of browsers before any other check, and gives every later reply of `app` its CORS headers. */
export function allowOrigins(app: FastifyInstance, cors: Cors): void {
  if (!cors.isOn) return;
  const methods = new Set<string>();
  app.addHook('onRoute', ({ method }) => {
    for (const one of [method].flat()) methods.add(one);
  });

  app.addHook('onRequest', async ({ method, headers }, reply) => {
    reply.headers(cors.headersFor(headers.origin));
    const isPreflight = method === 'OPTIONS' && headers['access-control-request-method'] !== undefined;
    if (!isPreflight || !cors.allows(headers.origin)) return;
    reply.headers({
      'access-control-allow-methods': [...methods].join(', '),
      'access-control-max-age': String(MAX_AGE_SECONDS),
    });
    const requested = headers['access-control-request-headers'];
    // SDKs send headers of their own (x-stainless-os), so that no list of ours would be complete.
    if (requested !== undefined) reply.header('access-control-allow-headers', requested);
    // Private Network Access: a page of the internet asks before it calls a machine of a home or company.
    if (headers['access-control-request-private-network'] === 'true')
      reply.header('access-control-allow-private-network', 'true');
    return reply.code(204).send();
  });
}
