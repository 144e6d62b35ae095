import { setTimeout as sleep } from 'node:timers/promises';
import type { ProblemDocument } from '../errors.js';

const MAX_ATTEMPTS = 8;
const RETRY_CEILING_MS = 10_000;

/** An error answer of the service. */
export class ServiceError extends Error {
  constructor(readonly problem: Partial<ProblemDocument> & { status: number }) {
    super(problem.detail ?? `The service answered ${problem.status}.`);
  }
}

/** Speaks to a running service; waits and tries again where the service asks for it (503, 429). */
export class Client {
  constructor(
    readonly url: string,
    private readonly apiKey?: string,
  ) {}

  /** @throws ServiceError for an error answer, Error when no service answers */
  async post<Reply>(path: string, body: FormData | object): Promise<Reply> {
    for (let attempt = 1; ; attempt++) {
      const response = await this.send(path, body);
      if (response.ok) return (await response.json()) as Reply;
      const mayRetry = (response.status === 503 || response.status === 429) && attempt < MAX_ATTEMPTS;
      if (!mayRetry) throw new ServiceError({ ...(await problemOf(response)), status: response.status });
      const retryAfterMs = Number(response.headers.get('retry-after') ?? 1) * 1000;
      await sleep(Math.min(retryAfterMs * attempt, RETRY_CEILING_MS));
    }
  }

  private async send(path: string, body: FormData | object): Promise<Response> {
    const authorization: Record<string, string> = this.apiKey ? { authorization: `Bearer ${this.apiKey}` } : {};
    const init =
      body instanceof FormData
        ? { body, headers: authorization }
        : { body: JSON.stringify(body), headers: { ...authorization, 'content-type': 'application/json' } };
    try {
      return await fetch(new URL(path, this.url), { method: 'POST', ...init });
    } catch (error) {
      throw new Error(`No service answers at ${this.url}: start one with "npm start".`, { cause: error });
    }
  }
}

async function problemOf(response: Response): Promise<Partial<ProblemDocument>> {
  try {
    return (await response.json()) as Partial<ProblemDocument>;
  } catch {
    return {};
  }
}
