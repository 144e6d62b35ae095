import { setTimeout as sleep } from 'node:timers/promises';
import { clientClosed, Problem } from '../../common/errors.js';
import { FORWARDED_HEADER } from '../../common/headers.js';
import { jitteredMs } from '../../lib/retry.js';
import { Semaphore } from '../../lib/semaphore.js';
import { PlaceError } from '../failover/target.js';

export interface ReplicaClientOptions {
  /** With or without `/v1` at its end. */
  url: string;
  apiKey: string;
  /** Of a request with all its attempts. */
  timeoutMs: number;
  /** Inputs that may wait for it; more are refused with `overloaded`. */
  maxQueue: number;
}

export interface ReplicaReply {
  status: number;
  headers: Headers;
  body: unknown;
}

const ATTEMPTS_MAX = 3;
const CONNECTIONS = 16;
const TOO_MANY_REQUESTS = 429;

/** Requests to a replica: a few at a time over kept connections, repeated while that may help, all within a time. */
export class ReplicaClient {
  private readonly base: string;
  private readonly slots = new Semaphore(CONNECTIONS);
  private waiting = 0;

  /** @throws Error when the URL is none */
  constructor(private readonly options: ReplicaClientOptions) {
    if (!/^https?:$/.test(URL.canParse(options.url) ? new URL(options.url).protocol : ''))
      throw new Error(`REPLICA_URL=${options.url}: must be an http: or https: URL.`);
    this.base = options.url.replace(/\/+$/, '').replace(/\/v1$/, '');
  }

  get(path: string): Promise<ReplicaReply> {
    return this.within(undefined, (signal) => this.request(path, {}, signal));
  }

  /** Posts a form or, as JSON, an object. @throws Problem `overloaded`, `client_closed`; PlaceError */
  async post(path: string, body: FormData | object, signal: AbortSignal): Promise<ReplicaReply> {
    if (this.waiting >= this.options.maxQueue)
      throw new Problem('overloaded', `${this.waiting} inputs are waiting for the replica already.`, {
        retry_after_seconds: 1,
      });
    const isForm = body instanceof FormData;
    const init: RequestInit = {
      method: 'POST',
      body: isForm ? body : JSON.stringify(body),
      headers: isForm ? {} : { 'content-type': 'application/json' },
    };
    this.waiting++;
    try {
      return await this.within(signal, (limited) =>
        this.slots.use(() => this.request(path, init, limited), { signal: limited }),
      );
    } finally {
      this.waiting--;
    }
  }

  /** Runs `task` within the time of a request, waiting for its turn counted. */
  private async within<T>(client: AbortSignal | undefined, task: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const timeout = AbortSignal.timeout(this.options.timeoutMs);
    try {
      return await task(client === undefined ? timeout : AbortSignal.any([client, timeout]));
    } catch (error) {
      if (client?.aborted) throw clientClosed();
      if (timeout.aborted) throw new PlaceError('the replica does not answer in time', `${this.options.timeoutMs} ms`);
      throw error;
    }
  }

  private async request(path: string, init: RequestInit, signal: AbortSignal): Promise<ReplicaReply> {
    let failure: unknown;
    for (let attempt = 0; attempt < ATTEMPTS_MAX && !signal.aborted; attempt++) {
      try {
        if (attempt > 0) await sleep(jitteredMs(attempt), undefined, { signal });
        const reply = await this.attempt(path, { ...init, signal });
        if (reply.status < 500 && reply.status !== TOO_MANY_REQUESTS) return reply;
        failure = reply;
      } catch (error) {
        failure = error;
      }
    }
    if (isReply(failure)) return failure;
    throw new PlaceError('the replica cannot be reached', String(failure), { cause: failure });
  }

  private async attempt(path: string, init: RequestInit): Promise<ReplicaReply> {
    const { apiKey } = this.options;
    const headers = {
      ...init.headers,
      [FORWARDED_HEADER]: '1',
      ...(apiKey === '' ? {} : { authorization: `Bearer ${apiKey}` }),
    };
    // A redirect could lead the key, and what is to be embedded, to another host.
    const response = await fetch(this.base + path, { ...init, headers, redirect: 'error' });
    const text = await response.text();
    return { status: response.status, headers: response.headers, body: parse(text) };
  }
}

const isReply = (failure: unknown): failure is ReplicaReply =>
  typeof failure === 'object' && failure !== null && 'status' in failure;

/** What is not JSON is no answer that anyone could use. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
