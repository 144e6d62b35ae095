import { clientClosed, Problem } from '../../common/errors.js';
import { FORWARDED_HEADER } from '../../common/headers.js';
import { retry } from '../../lib/async/retry.js';
import { Semaphore } from '../../lib/async/semaphore.js';
import type { TraceHeaders } from '../../observability/trace.js';
import { TargetError } from '../failover/target.js';

export interface RemoteClientOptions {
  /** With or without `/v1` at its end. */
  url: string;
  /** Sent as a bearer token unless empty. */
  apiKey: string;
  /** Of a request, all its attempts and the wait for a connection included. */
  timeoutMs: number;
  /** Inputs that may wait for a connection; more are refused with `overloaded`. */
  maxQueue: number;
}

/** The request that an upstream is called for. */
export interface RemoteCall {
  /** Aborted when nobody waits for the reply any more. */
  signal: AbortSignal;
  /** The trace that the call belongs to. */
  trace?: TraceHeaders | undefined;
}

export interface RemoteReply {
  status: number;
  headers: Headers;
  /** Parsed JSON; undefined for a body that is not JSON. */
  body: unknown;
}

const RETRY = { attempts: 3, firstMs: 100, maxMs: 1_000 };
const CONNECTIONS = 16;
const TOO_MANY_REQUESTS = 429;

/** A reply after which the request is repeated. */
class TransientReply extends Error {
  constructor(readonly reply: RemoteReply) {
    super(`status ${reply.status}`);
  }
}

/** HTTP requests to an upstream: few at once over kept connections, repeated on transient errors, within a timeout. */
export class RemoteClient {
  private readonly base: string;
  private readonly slots = new Semaphore(CONNECTIONS);
  private waiting = 0;

  /** @throws Error when the URL is not one of http or https */
  constructor(private readonly options: RemoteClientOptions) {
    if (!/^https?:$/.test(URL.canParse(options.url) ? new URL(options.url).protocol : ''))
      throw new Error(`REPLICA_URL=${options.url}: must be an http: or https: URL.`);
    this.base = options.url.replace(/\/+$/, '').replace(/\/v1$/, '');
  }

  /** @throws TargetError when the upstream does not reply */
  get(path: string): Promise<RemoteReply> {
    return this.withTimeout(undefined, (signal) => this.request(path, {}, signal));
  }

  /**
   * Posts a form or, as JSON, an object.
   * @throws Problem `overloaded`, `client_closed`; TargetError when the upstream does not reply
   */
  async post(path: string, body: FormData | object, { signal, trace }: RemoteCall): Promise<RemoteReply> {
    if (this.waiting >= this.options.maxQueue)
      throw new Problem('overloaded', `${this.waiting} inputs wait for the upstream already. Try again later.`, {
        retry_after_seconds: 1,
      });
    const isForm = body instanceof FormData;
    const init: RequestInit = {
      method: 'POST',
      body: isForm ? body : JSON.stringify(body),
      headers: { ...trace, ...(isForm ? {} : { 'content-type': 'application/json' }) },
    };
    this.waiting++;
    try {
      return await this.withTimeout(signal, (limited) =>
        this.slots.use(() => this.request(path, init, limited), { signal: limited }),
      );
    } finally {
      this.waiting--;
    }
  }

  /** Runs `task` with a signal that fires when the client disconnects or the time of a request is over. */
  private async withTimeout<T>(client: AbortSignal | undefined, task: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const timeout = AbortSignal.timeout(this.options.timeoutMs);
    try {
      return await task(client === undefined ? timeout : AbortSignal.any([client, timeout]));
    } catch (error) {
      if (client?.aborted) throw clientClosed();
      if (timeout.aborted) throw new TargetError('the upstream does not reply in time', `${this.options.timeoutMs} ms`);
      throw error;
    }
  }

  /** @returns the last reply, even one that is an error */
  private async request(path: string, init: RequestInit, signal: AbortSignal): Promise<RemoteReply> {
    const attempt = async () => {
      const reply = await this.send(path, { ...init, signal });
      if (reply.status >= 500 || reply.status === TOO_MANY_REQUESTS) throw new TransientReply(reply);
      return reply;
    };
    try {
      return await retry(attempt, { ...RETRY, signal });
    } catch (error) {
      if (error instanceof TransientReply) return error.reply;
      throw new TargetError('the upstream cannot be reached', String(error), { cause: error });
    }
  }

  private async send(path: string, init: RequestInit): Promise<RemoteReply> {
    const { apiKey } = this.options;
    const headers = {
      ...init.headers,
      [FORWARDED_HEADER]: '1',
      ...(apiKey === '' ? {} : { authorization: `Bearer ${apiKey}` }),
    };
    // A redirect could send the key and the input to another host.
    const response = await fetch(this.base + path, { ...init, headers, redirect: 'error' });
    const text = await response.text();
    return { status: response.status, headers: response.headers, body: parseJson(text) };
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
