import { HubError } from './hub-error.js';

const REDIRECTS_MAX = 5;
const REDIRECTS: readonly number[] = [301, 302, 303, 307, 308];
/** A peer that sends nothing for this long has gone. */
const SILENCE_MS = 30_000;

/** An answer whose body is still arriving. */
export interface Reply {
  status: number;
  headers: Headers;
  chunks: AsyncIterable<Uint8Array>;
}

/**
 * Sends GET requests to a hub and to wherever it redirects. The token goes to the hub alone: files lie on the
 * hosts of a content network, which have no business with it.
 */
export class HubConnection {
  readonly #endpoint: URL;

  constructor(
    endpoint: string,
    private readonly token: string,
    private readonly silenceMs = SILENCE_MS,
  ) {
    if (!URL.canParse(endpoint)) throw new Error(`HF_ENDPOINT=${endpoint} is not a URL.`);
    this.#endpoint = new URL(endpoint);
  }

  get endpoint(): string {
    return this.#endpoint.href.replace(/\/$/, '');
  }

  /** @throws HubError for every answer but success, and when there is none */
  async get(address: string, headers: Record<string, string> = {}): Promise<Reply> {
    let url = new URL(address, this.#endpoint);
    for (let redirects = 0; redirects <= REDIRECTS_MAX; redirects++) {
      const { response, watch } = await this.#send(url, headers);
      const location = response.headers.get('location');
      if (response.ok) return { status: response.status, headers: response.headers, chunks: chunksOf(response, watch) };
      await response.body?.cancel();
      watch.end();
      if (!REDIRECTS.includes(response.status) || location === null) throw this.#refusal(url, response);
      url = new URL(location, url);
    }
    throw new HubError(`${url.host} redirects in a circle.`, false);
  }

  async #send(url: URL, headers: Record<string, string>) {
    const watch = new SilenceWatch(this.silenceMs);
    const isHub = url.origin === this.#endpoint.origin;
    const auth: Record<string, string> = isHub && this.token !== '' ? { authorization: `Bearer ${this.token}` } : {};
    try {
      const response = await fetch(url, {
        redirect: 'manual',
        signal: watch.signal,
        // Not compressed: a range counts the bytes of what is sent.
        headers: { 'user-agent': 'onespace', 'accept-encoding': 'identity', ...headers, ...auth },
      });
      return { response, watch };
    } catch (error) {
      watch.end();
      throw cut(url.host, error);
    }
  }

  #refusal(url: URL, { status, headers }: Response): HubError {
    const { host } = url;
    if (status === 429) return new HubError(`${host} refuses more requests for now (429).`, true, waitOf(headers));
    if (status >= 500 || status === 408) return new HubError(`${host} answered ${status}.`, true, waitOf(headers));
    const code = headers.get('x-error-code');
    if (code === 'GatedRepo' || status === 401 || status === 403) return new HubError(this.#accessAdvice(code), false);
    return new HubError(`${host} answered ${status}${code === null ? '' : ` (${code})`} for ${url.pathname}.`, false);
  }

  #accessAdvice(code: string | null): string {
    if (code === 'GatedRepo')
      return (
        `The authors of this repository let in who accepted their terms. Accept them on its page at ${this.endpoint}, ` +
        `make a token of the same account at ${this.endpoint}/settings/tokens, and set HF_TOKEN to it.`
      );
    return this.token === ''
      ? `${this.endpoint} has no such repository, or it is private: then set HF_TOKEN to a token that may read it.`
      : `${this.endpoint} does not let this HF_TOKEN read the repository, or there is no such repository.`;
  }
}

/** Ends a request whose peer has fallen silent. */
class SilenceWatch {
  readonly #controller = new AbortController();
  #timer: NodeJS.Timeout;

  constructor(private readonly silenceMs: number) {
    this.#timer = this.#start();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  heard(): void {
    clearTimeout(this.#timer);
    this.#timer = this.#start();
  }

  end(): void {
    clearTimeout(this.#timer);
  }

  #start(): NodeJS.Timeout {
    const silence = new Error(`nothing arrived for ${this.silenceMs / 1000} s`);
    return setTimeout(() => this.#controller.abort(silence), this.silenceMs);
  }
}

async function* chunksOf(response: Response, watch: SilenceWatch): AsyncIterable<Uint8Array> {
  try {
    for await (const chunk of response.body ?? []) {
      watch.heard();
      yield chunk;
    }
  } catch (error) {
    throw cut(new URL(response.url).host, error);
  } finally {
    watch.end();
  }
}

function cut(host: string, error: unknown): HubError {
  const { message, cause } = error as Error;
  const reason = cause instanceof Error && cause.message !== '' ? cause.message : message;
  return new HubError(`The connection to ${host} failed: ${reason}.`, true, undefined, { cause: error });
}

/** The time to wait: `Retry-After`, or the `t` of the hub's own `RateLimit: "api";r=0;t=42`. */
function waitOf(headers: Headers): number | undefined {
  const after = headers.get('retry-after');
  const seconds = after === null ? /;\s*t=(\d+)/.exec(headers.get('ratelimit') ?? '')?.[1] : after;
  if (seconds === undefined) return undefined;
  const waitMs = /^\d+$/.test(seconds) ? Number(seconds) * 1000 : Date.parse(seconds) - Date.now();
  return Number.isNaN(waitMs) ? undefined : Math.max(0, waitMs);
}
