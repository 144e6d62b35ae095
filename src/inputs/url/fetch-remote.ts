import { lookup as lookupAll } from 'node:dns';
import { get as getHttp, type IncomingMessage, type RequestOptions } from 'node:http';
import { get as getHttps } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import { invalidField, Problem } from '../../common/errors.js';
import type { UrlHosts } from './allowed-hosts.js';
import { isPublicAddress } from './public-address.js';

const MAX_REDIRECTS = 3;
const REDIRECTS: readonly (number | undefined)[] = [301, 302, 303, 307, 308];

/** A file that another host is sending. */
export interface RemoteFile {
  stream: IncomingMessage;
  /** Aborted when the client has disconnected or the time is up. */
  signal: AbortSignal;
  /** The error to report when the stream fails: the timeout, or the host that closed the connection. */
  explain(error: unknown): unknown;
}

/**
 * Downloads files for callers, from the allowed hosts only, and cannot be used to reach private networks: every
 * address is checked after its name is resolved, the connection uses exactly that address, and each redirect
 * is checked like the first URL (OWASP, Server-Side Request Forgery Prevention).
 */
export class RemoteFiles {
  constructor(
    private readonly hosts: UrlHosts,
    private readonly timeoutMs: number,
  ) {}

  /**
   * @param path of the URL in the request, for errors
   * @throws Problem `url_not_allowed`, `fetch_failed`
   */
  async open(address: string, path: string, client?: AbortSignal): Promise<RemoteFile> {
    const timeout = AbortSignal.timeout(this.timeoutMs);
    const signal = client === undefined ? timeout : AbortSignal.any([client, timeout]);
    const explain = (error: unknown) => {
      if (client?.aborted) return error;
      if (timeout.aborted) return failed(path, `took longer than ${this.timeoutMs / 1000} seconds`, error);
      // A broken stream is reported as a client that disconnected; here the other host closed it.
      const isOwn = error instanceof Problem && error.code !== 'client_closed';
      return isOwn ? error : failed(path, 'cannot be fetched', error);
    };
    try {
      return { stream: await this.follow(address, path, signal), signal, explain };
    } catch (error) {
      throw explain(error);
    }
  }

  private async follow(address: string, path: string, signal: AbortSignal): Promise<IncomingMessage> {
    let url = this.check(address, path);
    for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
      const response = await request(url, path, signal);
      if (response.statusCode === 200) return response;
      response.destroy();
      const { location } = response.headers;
      if (!REDIRECTS.includes(response.statusCode) || location === undefined) {
        throw failed(path, `was answered with ${response.statusCode} by ${url.host}`);
      }
      url = this.check(location, path, url);
    }
    throw failed(path, `was redirected more than ${MAX_REDIRECTS} times`);
  }

  private check(address: string, path: string, base?: URL): URL {
    if (this.hosts.isEmpty) {
      throw notAllowed(
        path,
        'must be a data: URL; this service downloads nothing from other hosts (ALLOW_URL_HOSTS is empty)',
      );
    }
    if (!URL.canParse(address, base)) throw notAllowed(path, 'is not a URL');
    const url = new URL(address, base);
    const what = base === undefined ? 'is' : 'was redirected to';
    if (!this.hosts.allows(url)) throw notAllowed(path, `${what} a URL of a host that ALLOW_URL_HOSTS does not list`);
    return url;
  }
}

function request(url: URL, path: string, signal: AbortSignal): Promise<IncomingMessage> {
  const options: RequestOptions = {
    signal,
    // No connection is reused: its address was checked for another name.
    agent: false,
    lookup: lookupPublic(path),
    headers: { 'user-agent': 'onespace', accept: 'image/*, video/*', 'accept-encoding': 'identity' },
  };
  return new Promise((resolve, reject) => {
    const get = url.protocol === 'https:' ? getHttps : getHttp;
    get(url, options, resolve).on('error', reject);
  });
}

/** Resolves a name to public addresses only. An IP address in the URL itself was allowed explicitly. */
const lookupPublic =
  (path: string): LookupFunction =>
  (hostname, options, callback) => {
    lookupAll(hostname, { ...options, all: true }, (error, addresses) => {
      if (error !== null) return callback(error, []);
      const isSafe = addresses.every(({ address }) => isIP(address) !== 0 && isPublicAddress(address));
      if (!isSafe) return callback(notAllowed(path, 'has a host name that resolves to a private address'), []);
      const [first] = addresses;
      if (options.all || first === undefined) return callback(null, addresses);
      callback(null, first.address, first.family);
    });
  };

const notAllowed = (path: string, what: string) => invalidField(path, `${path} ${what}.`, { code: 'url_not_allowed' });
const failed = (path: string, what: string, cause?: unknown) =>
  invalidField(path, `${path} ${what}.`, { code: 'fetch_failed', cause });
