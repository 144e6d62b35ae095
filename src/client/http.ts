import type { ProblemDocument } from './types.js';

/** Where a service runs, and how to call it. */
export interface Connection {
  /** For example `http://127.0.0.1:8000`. */
  url: string;
  apiKey?: string | undefined;
  /** How often a request is sent at most while the service answers 503 or 429. Default: 8. */
  maxAttempts?: number;
  /** Aborts the request and the pauses between attempts. */
  signal?: AbortSignal;
}

const MAX_ATTEMPTS = 8;
const DEFAULT_PAUSE_MS = 1_000;
const MAX_PAUSE_MS = 10_000;

/** An error reply of the service; `problem.code` tells the errors apart. */
export class ServiceError extends Error {
  override readonly name = 'ServiceError';

  constructor(readonly problem: Partial<ProblemDocument> & { status: number }) {
    super(problem.detail ?? `The service answered ${problem.status}.`);
  }
}

/**
 * Sends one request, and sends it again after a 503 or 429 when the time of `Retry-After` has passed.
 * @returns the JSON of the reply; undefined for 204
 * @throws ServiceError for an error reply, Error when no service answers, the reason of `signal` when it aborts
 */
export async function call<Reply>(to: Connection, method: string, path: string, body?: object): Promise<Reply> {
  for (let attempt = 1; ; attempt++) {
    const response = await send(to, method, path, body);
    if (response.status === 204) return undefined as Reply;
    if (response.ok) return (await response.json()) as Reply;
    const isBusy = response.status === 503 || response.status === 429;
    const problem = (await response.json().catch(() => ({}))) as Partial<ProblemDocument>;
    if (!isBusy || attempt >= (to.maxAttempts ?? MAX_ATTEMPTS))
      throw new ServiceError({ ...problem, status: response.status });
    // Longer with each attempt, so that many clients of a busy service spread out.
    await pause(Math.min(attempt * retryAfterMs(response), MAX_PAUSE_MS), to.signal);
  }
}

/**
 * The body of a reply as it arrives; the request is not repeated.
 * @throws ServiceError for an error reply, Error when no service answers
 */
export async function streamOf(to: Connection, path: string): Promise<NonNullable<Response['body']>> {
  const response = await send(to, 'GET', path);
  if (response.ok && response.body !== null) return response.body;
  const problem = (await response.json().catch(() => ({}))) as Partial<ProblemDocument>;
  throw new ServiceError({ ...problem, status: response.status });
}

async function send(
  { url, apiKey, signal }: Connection,
  method: string,
  path: string,
  body?: object,
): Promise<Response> {
  const headers = new Headers(apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` });
  const isJson = body !== undefined && !(body instanceof FormData);
  if (isJson) headers.set('content-type', 'application/json');
  const content = body === undefined ? {} : { body: isJson ? JSON.stringify(body) : (body as FormData) };
  try {
    return await fetch(new URL(path, url), {
      method,
      headers,
      ...content,
      ...(signal === undefined ? {} : { signal }),
    });
  } catch (error) {
    signal?.throwIfAborted();
    throw new Error(`No service answers at ${url}: start one with "npm start", or check the address.`, {
      cause: error,
    });
  }
}

/** The service sends whole seconds; proxies in front of it may send something else, or nothing. */
function retryAfterMs({ headers }: Response): number {
  const seconds = Number(headers.get('retry-after') ?? Number.NaN);
  return Number.isFinite(seconds) && seconds >= 0 ? seconds * 1000 : DEFAULT_PAUSE_MS;
}

/** @throws the reason of `signal` as soon as it aborts */
function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const onAbort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    }, ms);
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}
