import { lookup as lookupAll } from 'node:dns';
import { get as getHttp, type IncomingMessage, type RequestOptions } from 'node:http';
import { get as getHttps } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import { Problem } from '../../common/errors.js';
import type { UrlHosts } from './allowed-hosts.js';
import { isPublicAddress } from './public-address.js';

const MAX_REDIRECTS = 3;
const REDIRECTS: readonly (number | undefined)[] = [301, 302, 303, 307, 308];

/** A file that is arriving from another host. */
export interface RemoteFile {
  stream: IncomingMessage;
  /** Fires when the client has gone or the time is over. */
  signal: AbortSignal;
  /** What to tell when the stream fails: the time that is over, or the host that broke off. */
  explain(error: unknown): unknown;
}

/**
 * Fetches files for callers, from listed hosts only, without being used to reach what they cannot: every
 * address is checked after its name is resolved, the connection goes to that very address, and each redirect
 * is checked like the first URL (OWASP, Server-Side Request Forgery Prevention).
 */
export class RemoteFiles {
  constructor(
    private readonly hosts: UrlHosts,
    private readonly timeoutMs: number,
  ) {}

  /**
   * @param field where the URL stands in the request, for errors
   * @throws Problem `url_not_allowed`, `fetch_failed`
   */
  async open(address: string, field: string, client?: AbortSignal): Promise<RemoteFile> {
    const timeout = AbortSignal.timeout(this.timeoutMs);
    const signal = client === undefined ? timeout : AbortSignal.any([client, timeout]);
    const explain = (error: unknown) => {
      if (client?.aborted) return error;
      if (timeout.aborted) return failed(field, `took longer than ${this.timeoutMs / 1000} seconds`, error);
      // A stream that breaks is taken for a client that went; here it is the other host.
      const isOwn = error instanceof Problem && error.code !== 'client_closed';
      return isOwn ? error : failed(field, 'cannot be fetched', error);
    };
    try {
      return { stream: await this.follow(address, field, signal), signal, explain };
    } catch (error) {
      throw explain(error);
    }
  }

  private async follow(address: string, field: string, signal: AbortSignal): Promise<IncomingMessage> {
    let url = this.check(address, field);
    for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
      const response = await request(url, field, signal);
      if (response.statusCode === 200) return response;
      response.destroy();
      const { location } = response.headers;
      if (!REDIRECTS.includes(response.statusCode) || location === undefined) {
        throw failed(field, `was answered with ${response.statusCode} by ${url.host}`);
      }
      url = this.check(location, field, url);
    }
    throw failed(field, `was redirected more than ${MAX_REDIRECTS} times`);
  }

  private check(address: string, field: string, base?: URL): URL {
    if (this.hosts.isEmpty) {
      throw notAllowed(field, 'must be a data: URL; this service fetches nothing from other hosts');
    }
    if (!URL.canParse(address, base)) throw notAllowed(field, 'is not a URL');
    const url = new URL(address, base);
    const what = base === undefined ? 'is' : 'was redirected to';
    if (!this.hosts.allows(url)) throw notAllowed(field, `${what} a URL of a host that ALLOW_URL_HOSTS does not list`);
    return url;
  }
}

function request(url: URL, field: string, signal: AbortSignal): Promise<IncomingMessage> {
  const options: RequestOptions = {
    signal,
    // A connection of its own: one that is kept could lead to an address that was never checked.
    agent: false,
    lookup: lookupPublic(field),
    headers: { 'user-agent': 'onespace', accept: 'image/*, video/*', 'accept-encoding': 'identity' },
  };
  return new Promise((resolve, reject) => {
    const get = url.protocol === 'https:' ? getHttps : getHttp;
    get(url, options, resolve).on('error', reject);
  });
}

/** Resolves a name to public addresses only. An address that stands in the URL itself was listed as it is. */
const lookupPublic =
  (field: string): LookupFunction =>
  (hostname, options, callback) => {
    lookupAll(hostname, { ...options, all: true }, (error, addresses) => {
      if (error !== null) return callback(error, []);
      const isSafe = addresses.every(({ address }) => isIP(address) !== 0 && isPublicAddress(address));
      if (!isSafe) return callback(notAllowed(field, 'is on a host whose name leads to a private address'), []);
      const [first] = addresses;
      if (options.all || first === undefined) return callback(null, addresses);
      callback(null, first.address, first.family);
    });
  };

const where = (field: string) => ({ in: 'body', field: field.replace(/^body\./, '') });
const notAllowed = (field: string, what: string) => new Problem('url_not_allowed', `${field} ${what}.`, where(field));
const failed = (field: string, what: string, cause?: unknown) =>
  new Problem('fetch_failed', `${field} ${what}.`, where(field), { cause });
