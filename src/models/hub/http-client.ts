import { HubError } from './hub-error.js';

const REDIRECTS_MAX = 5;
const REDIRECTS: readonly number[] = [301, 302, 303, 307, 308];
/** A connection without a byte for this long is given up. */
const IDLE_TIMEOUT_MS = 30_000;

/** A successful reply whose body is being received. */
export interface Reply {
  status: number;
  headers: Headers;
  chunks: AsyncIterable<Uint8Array>;
}

/**
 * Sends GET requests to a hub and to the hosts that it redirects to. The token is sent to the hub only: files are
 * served by a content delivery network, which must not receive it.
 */
export class HttpClient {
  readonly #endpoint: URL;

  /**
   * @param token empty for none
   * @throws Error when the endpoint is not a URL
   */
  constructor(
    endpoint: string,
    private readonly token: string,
    private readonly idleTimeoutMs = IDLE_TIMEOUT_MS,
  ) {
    if (!URL.canParse(endpoint)) throw new Error(`HF_ENDPOINT=${endpoint} is not a URL.`);
    this.#endpoint = new URL(endpoint);
  }

  get endpoint(): string {
    return this.#endpoint.href.replace(/\/$/, '');
  }

  /** @throws HubError for every reply but success, and when there is none */
  async get(address: string, headers: Record<string, string> = {}): Promise<Reply> {
    let url = new URL(address, this.#endpoint);
    for (let redirects = 0; redirects <= REDIRECTS_MAX; redirects++) {
      const { response, idle } = await this.#send(url, headers);
      const location = response.headers.get('location');
      if (response.ok) return { status: response.status, headers: response.headers, chunks: chunksOf(response, idle) };
      await response.body?.cancel();
      idle.end();
      if (!REDIRECTS.includes(response.status) || location === null) throw this.#errorOf(url, response);
      url = new URL(location, url);
    }
    throw new HubError(`${url.host} redirects more than ${REDIRECTS_MAX} times.`, false);
  }

  async #send(url: URL, headers: Record<string, string>) {
    const idle = new IdleTimeout(this.idleTimeoutMs);
    const isHub = url.origin === this.#endpoint.origin;
    const auth: Record<string, string> = isHub && this.token !== '' ? { authorization: `Bearer ${this.token}` } : {};
    try {
      const response = await fetch(url, {
        redirect: 'manual',
        signal: idle.signal,
        // Ranges count the bytes of the encoded body, so the body must not be compressed.
        headers: { 'user-agent': 'onespace', 'accept-encoding': 'identity', ...headers, ...auth },
      });
      return { response, idle };
    } catch (error) {
      idle.end();
      throw connectionError(url.host, error);
    }
  }

  #errorOf(url: URL, { status, headers }: Response): HubError {
    const { host } = url;
    if (status === 429)
      return new HubError(`${host} refuses more requests for now (429).`, true, retryAfterOf(headers));
    if (status >= 500 || status === 408)
      return new HubError(`${host} answered ${status}.`, true, retryAfterOf(headers));
    const code = headers.get('x-error-code');
    if (code === 'GatedRepo' || status === 401 || status === 403) return new HubError(this.#accessAdvice(code), false);
    return new HubError(`${host} answered ${status}${code === null ? '' : ` (${code})`} for ${url.pathname}.`, false);
  }

  #accessAdvice(code: string | null): string {
    if (code === 'GatedRepo')
      return (
        `The authors of this repository require their terms to be accepted. Accept them on its page at ${this.endpoint}, ` +
        `create a token of the same account at ${this.endpoint}/settings/tokens, and set HF_TOKEN to it.`
      );
    return this.token === ''
      ? `${this.endpoint} has no such repository, or it is private: then set HF_TOKEN to a token that may read it.`
      : `${this.endpoint} does not let this HF_TOKEN read the repository, or there is no such repository.`;
  }
}

/** Aborts a request whose peer sends nothing for a time. */
class IdleTimeout {
  readonly #controller = new AbortController();
  #timer: NodeJS.Timeout;

  constructor(private readonly idleTimeoutMs: number) {
    this.#timer = this.#start();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  restart(): void {
    clearTimeout(this.#timer);
    this.#timer = this.#start();
  }

  end(): void {
    clearTimeout(this.#timer);
  }

  #start(): NodeJS.Timeout {
    const timeout = new Error(`nothing arrived for ${this.idleTimeoutMs / 1000} s`);
    return setTimeout(() => this.#controller.abort(timeout), this.idleTimeoutMs);
  }
}

async function* chunksOf(response: Response, idle: IdleTimeout): AsyncIterable<Uint8Array> {
  try {
    for await (const chunk of response.body ?? []) {
      idle.restart();
      yield chunk;
    }
  } catch (error) {
    throw connectionError(new URL(response.url).host, error);
  } finally {
    idle.end();
  }
}

function connectionError(host: string, error: unknown): HubError {
  const { message, cause } = error as Error;
  const reason = cause instanceof Error && cause.message !== '' ? cause.message : message;
  return new HubError(`The connection to ${host} failed: ${reason}.`, true, undefined, { cause: error });
}

/** The delay that a reply demands, in ms: `Retry-After`, or `t` of the hub's own `RateLimit: "api";r=0;t=42`. */
function retryAfterOf(headers: Headers): number | undefined {
  const after = headers.get('retry-after');
  const seconds = after === null ? /;\s*t=(\d+)/.exec(headers.get('ratelimit') ?? '')?.[1] : after;
  if (seconds === undefined) return undefined;
  const delayMs = /^\d+$/.test(seconds) ? Number(seconds) * 1000 : Date.parse(seconds) - Date.now();
  return Number.isNaN(delayMs) ? undefined : Math.max(0, delayMs);
}
