import { Problem } from '../../common/errors.js';
import { CircuitBreaker } from '../../lib/async/circuit-breaker.js';
import { retry } from '../../lib/async/retry.js';

export interface ChromaClientOptions {
  /** URL of the server, such as `http://localhost:8000`. */
  url: string;
  /** Time limit of one attempt. */
  timeoutMs: number;
  /** Attempts beyond the first. Every request is idempotent, so it may be repeated. */
  retries: number;
}

const DELAYS = { firstMs: 100, maxMs: 1_000 };
const TOO_MANY_REQUESTS = 429;
/** Characters of an error reply that the error quotes. */
const REPLY_CHARACTERS = 500;

/** A reply of the server; `body` is the parsed JSON. */
export interface ChromaReply {
  status: number;
  body: unknown;
}

/** Requests to a Chroma server: each with a time limit, retried with jitter, failing fast while the server is down. */
export class ChromaClient {
  readonly #options: ChromaClientOptions;
  readonly #breaker = new CircuitBreaker();

  constructor(options: ChromaClientOptions) {
    this.#options = options;
  }

  /**
   * @param path below `/api/v2`, with a leading slash
   * @param limits instead of those of the client
   * @returns the reply, also one that refuses (4xx)
   * @throws Problem `store_unavailable` when no attempt was answered
   */
  async request(
    method: 'GET' | 'POST',
    path: string,
    body?: unknown,
    { timeoutMs, retries }: Pick<ChromaClientOptions, 'timeoutMs' | 'retries'> = this.#options,
  ): Promise<ChromaReply> {
    const attempt = async () => {
      if (!this.#breaker.admits()) throw unavailable(undefined);
      try {
        const reply = await this.#attempt(method, path, body, timeoutMs);
        this.#breaker.succeeded();
        return reply;
      } catch (error) {
        this.#breaker.failed();
        throw error;
      }
    };
    try {
      const shouldRetry = () => this.#breaker.isClosed;
      return await retry(attempt, { attempts: retries + 1, ...DELAYS, shouldRetry });
    } catch (error) {
      throw error instanceof Problem ? error : unavailable(error);
    }
  }

  /** @throws Error when the server did not answer, or answered 429 or 5xx */
  async #attempt(method: string, path: string, body: unknown, timeoutMs: number): Promise<ChromaReply> {
    const response = await fetch(`${this.#options.url}/api/v2${path}`, {
      method,
      signal: AbortSignal.timeout(timeoutMs),
      ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
    });
    const text = await response.text();
    if (response.status >= 500 || response.status === TOO_MANY_REQUESTS)
      throw new Error(`Chroma answered ${response.status}: ${text.slice(0, REPLY_CHARACTERS)}`);
    return { status: response.status, body: text === '' ? undefined : JSON.parse(text) };
  }
}

const unavailable = (cause: unknown) =>
  new Problem(
    'store_unavailable',
    'The Chroma server cannot be reached. Embedding continues to work; try the index again shortly.',
    {},
    { cause },
  );
