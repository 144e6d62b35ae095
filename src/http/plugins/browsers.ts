import type { IncomingMessage } from 'node:http';
import { isIP, isIPv6 } from 'node:net';
import { hostname as machineName } from 'node:os';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Problem } from '../../common/errors.js';
import { type Config, listOf } from '../../config.js';
import type { Cors } from './cors.js';

/**
 * Keeps pages in a browser from using a service that lets its callers in without a key: through a name of their own
 * that resolves to this machine (DNS rebinding), or by a request sent without consent (CSRF).
 */

const ANY = '*';
/** A host name, or all names below one. */
const ENTRY = /^(\*\.)?[\w-]+(\.[\w-]+)*$/;
/** `name`, `name:port`, `[IPv6]` or `[IPv6]:port`: nothing that could hide another host, such as `user@host`. */
const AUTHORITY = /^(?:\[(?<ipv6>[\da-f:.]+(?:%[\w.~-]+)?)\]|(?<name>[\w.-]+))(?::\d{0,5})?$/i;
const ABSOLUTE_URL = /^[a-z][a-z\d+.-]*:\/\/(?<authority>[^/?#]*)/i;

/**
 * The names under which the service answers. An IP address is always one of them, because no page can have one that it
 * does not come from; so are `localhost` and the names of this machine.
 */
export class AllowedHosts {
  private readonly any: boolean;
  private readonly names: Set<string>;
  private readonly suffixes: string[];

  /** @param machine name of this machine @throws Error when an entry of ALLOWED_HOSTS is not a host */
  constructor({ ALLOWED_HOSTS, HOST }: Pick<Config, 'ALLOWED_HOSTS' | 'HOST'>, machine = machineName()) {
    const entries = listOf(ALLOWED_HOSTS.toLowerCase()).map((entry) => entry.replace(/\.$/, ''));
    for (const entry of entries) if (entry !== ANY && isIP(entry) === 0 && !ENTRY.test(entry)) throw notAHost(entry);
    const own = machine.toLowerCase();
    const [short = own] = own.split('.');
    this.any = entries.includes(ANY);
    this.names = new Set(['localhost', own, short, `${short}.local`, HOST.toLowerCase(), ...entries]);
    this.suffixes = ['.localhost', ...entries.filter((entry) => entry.startsWith('*.')).map((entry) => entry.slice(1))];
  }

  /** @param name in lower case, without a port */
  allows(name: string): boolean {
    if (this.any || isIP(name) !== 0 || this.names.has(name)) return true;
    return this.suffixes.some((suffix) => name.endsWith(suffix) && name.length > suffix.length);
  }
}

const notAHost = (entry: string) =>
  new Error(
    `ALLOWED_HOSTS: "${entry}" is not a host name. Write names without scheme, port and path, such as ` +
      'search.example.com or *.example.com; * alone allows every name.',
  );

/**
 * Refuses requests for a host that is not valid, or not one of `hosts`. Without keys it also refuses what changes
 * something and comes from a page of another origin.
 * @param hosts undefined where every name is allowed
 */
export function refuseForeignPages(app: FastifyInstance, cors: Cors, hosts: AllowedHosts | undefined): void {
  const keysRequired = app.service.apiKeys.areRequired;

  app.addHook('onRequest', async (request) => {
    for (const authority of authoritiesOf(request)) {
      const name = nameIn(authority);
      if (name === undefined)
        throw new Problem('invalid_request', `The host of the request is not valid: ${authority}`);
      if (hosts?.allows(name) === false) throw notAllowed(name);
    }
    if (!keysRequired && changesSomething(request) && !isOwnPage(request) && !cors.allows(request.headers.origin)) {
      throw new Problem('forbidden', 'Pages of other origins may call this service only when CORS_ORIGINS lists them.');
    }
  });
}

const notAllowed = (host: string) =>
  new Problem(
    'host_not_allowed',
    `This service does not answer under the name ${host}; the setting ALLOWED_HOSTS lists further names.`,
    { host },
  );

/**
 * Every host that a request names: `Host`, the URL of a request in absolute form, and what a trusted proxy reports as the
 * host that its client named. A page may set the last one itself, so each of them has to be allowed.
 * @throws Problem when HTTP requires one host and there is none, or several
 */
function authoritiesOf({ raw, host, url }: FastifyRequest): string[] {
  const named = hostHeaders(raw);
  // Older clients and health checks speak HTTP/1.0; a browser always names the host.
  if (named.length === 0 && raw.httpVersion !== '1.0') throw new Problem('invalid_request', 'The request has no Host.');
  if (named.length > 1) throw new Problem('invalid_request', 'The request has more than one Host.');
  const { authority } = ABSOLUTE_URL.exec(url)?.groups ?? {};
  const others = [authority, host].filter((one) => one !== undefined && one !== '' && one !== named[0]);
  return [...named, ...(others as string[])];
}

function hostHeaders({ rawHeaders }: IncomingMessage): string[] {
  const hosts: string[] = [];
  for (let i = 0; i < rawHeaders.length; i += 2)
    if (rawHeaders[i]?.toLowerCase() === 'host') hosts.push(rawHeaders[i + 1] ?? '');
  return hosts;
}

/** The name in `host:port`, in lower case and without the dot of a fully qualified name; undefined when it has none. */
function nameIn(authority: string): string | undefined {
  const { ipv6, name } = AUTHORITY.exec(authority)?.groups ?? {};
  if (ipv6 !== undefined) return isIPv6(ipv6) ? ipv6.toLowerCase() : undefined;
  return name?.toLowerCase().replace(/\.$/, '');
}

const changesSomething = ({ method }: FastifyRequest): boolean => method !== 'GET' && method !== 'HEAD';

/** Whether no page sent the request, or one that came from this service. */
function isOwnPage({ headers, host }: FastifyRequest): boolean {
  const { origin } = headers;
  // A browser sets the second one, and no page can. It holds behind a proxy that changes the host.
  if (origin === undefined || headers['sec-fetch-site'] === 'same-origin') return true;
  return URL.canParse(origin) && new URL(origin).host === host.toLowerCase();
}
