import type { ProblemDocument } from '../common/errors.js';

/** Where a service runs, and how to speak to it. */
export interface Connection {
  url: string;
  apiKey?: string | undefined;
  /** How often a request is sent at most, when the service asks to come back later (503, 429). Default: 8. */
  maxAttempts?: number;
  signal?: AbortSignal;
}

const MAX_ATTEMPTS = 8;
const RETRY_CEILING_MS = 10_000;

/** An error answer of the service. */
export class ServiceError extends Error {
  override readonly name = 'ServiceError';

  constructor(readonly problem: Partial<ProblemDocument> & { status: number }) {
    super(problem.detail ?? `The service answered ${problem.status}.`);
  }
}

/**
 * One request; waits and tries again where the service asks for it.
 * @throws ServiceError for an error answer, Error when no service answers
 */
export async function call<Reply>(to: Connection, method: string, path: string, body?: object): Promise<Reply> {
  for (let attempt = 1; ; attempt++) {
    const response = await send(to, method, path, body);
    if (response.status === 204) return undefined as Reply;
    if (response.ok) return (await response.json()) as Reply;
    const mayRetry = (response.status === 503 || response.status === 429) && attempt < (to.maxAttempts ?? MAX_ATTEMPTS);
    const problem = (await response.json().catch(() => ({}))) as Partial<ProblemDocument>;
    if (!mayRetry) throw new ServiceError({ ...problem, status: response.status });
    const retryAfterMs = Number(response.headers.get('retry-after') ?? 1) * 1000;
    await pause(Math.min(retryAfterMs * attempt, RETRY_CEILING_MS), to.signal);
  }
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
    throw new Error(`No service answers at ${url}: start one with "npm start".`, { cause: error });
  }
}

function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener('abort', () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}
