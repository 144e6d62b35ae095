import { Worker } from 'node:worker_threads';
import { Problem } from '../../../common/errors.js';
import type { Logger } from '../../../lib/logger.js';
import { LIMITS } from '../../limits.js';
import type { IndexEvents } from '../events.js';
import { type Argument, fromFailure, type Method, type Reply, type Request, type Result } from './protocol.js';

const ENTRY = new URL('./worker-main.js', import.meta.url);

/**
 * One thread for FAISS and its BLAS, unless the environment says otherwise: the matrices of a
 * search are so small that threads spend more time waiting for each other than they save.
 * Both libraries read this when they are loaded, that is when the first index is opened.
 */
process.env.OMP_NUM_THREADS ??= '1';

interface Listener {
  logger: Logger;
  events: IndexEvents;
}

/**
 * Replies handed out in one turn of the event loop. Searches are answered together, and each answer is
 * followed by the work of a whole request: all at once they would keep everybody else waiting.
 */
const REPLIES_PER_TURN = 4;

interface Pending {
  resolve: (result: never) => void;
  reject: (error: unknown) => void;
}

/** The thread that holds every index of this process; it runs while one is open. */
let shared: IndexThread | undefined;

/** A handle of one index in the index thread. */
export interface Channel {
  /** @param transfer buffers that move instead of being copied */
  call<M extends Method>(method: M, argument: Argument<M>, transfer?: ArrayBuffer[]): Promise<Result<M>>;
  /** Gives the thread up; the last one to leave ends it. */
  leave(): Promise<void>;
}

export function joinThread(listener: Listener): Channel {
  shared ??= new IndexThread((ended) => {
    if (shared === ended) shared = undefined;
  });
  return shared.join(listener);
}

class IndexThread {
  readonly #worker = new Worker(ENTRY, { name: 'index' });
  readonly #listeners = new Map<number, Listener>();
  readonly #pending = new Map<number, Pending>();
  readonly #onEnd: (ended: IndexThread) => void;
  readonly #replies: Reply[] = [];
  #stores = 0;
  #calls = 0;
  #failure: Problem | undefined;

  constructor(onEnd: (ended: IndexThread) => void) {
    this.#onEnd = onEnd;
    this.#worker.on('message', (reply: Reply) => {
      this.#replies.push(reply);
      if (this.#replies.length === 1) setImmediate(() => this.#handOut());
    });
    this.#worker.on('error', (error) => this.#fail(error));
    this.#worker.on('exit', () => this.#fail(new Error('index: the thread has ended')));
  }

  join(listener: Listener): Channel {
    const store = ++this.#stores;
    this.#listeners.set(store, listener);
    return {
      call: (method, argument, transfer = []) => this.#call(store, method, argument, transfer),
      leave: async () => {
        this.#listeners.delete(store);
        if (this.#listeners.size > 0) return;
        this.#onEnd(this);
        await this.#worker.terminate();
      },
    };
  }

  #call<M extends Method>(
    store: number,
    method: M,
    argument: Argument<M>,
    transfer: ArrayBuffer[],
  ): Promise<Result<M>> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (this.#pending.size >= LIMITS.pendingCalls)
      return Promise.reject(new Problem('overloaded', 'The index has too many requests waiting. Try again shortly.'));
    return new Promise((resolve, reject) => {
      const call = ++this.#calls;
      this.#pending.set(call, { resolve, reject });
      this.#worker.postMessage({ store, call, method, argument } as Request, transfer);
    });
  }

  #handOut(): void {
    for (const reply of this.#replies.splice(0, REPLIES_PER_TURN)) this.#receive(reply);
    if (this.#replies.length > 0) setImmediate(() => this.#handOut());
  }

  #receive(reply: Reply): void {
    if (reply.type === 'result' || reply.type === 'failure') {
      const pending = this.#pending.get(reply.call);
      this.#pending.delete(reply.call);
      if (reply.type === 'result') pending?.resolve(reply.result as never);
      else pending?.reject(fromFailure(reply.failure));
      return;
    }
    const listener = this.#listeners.get(reply.store);
    if (reply.type === 'log') listener?.logger[reply.level](reply.fields, reply.message);
    else listener?.events[reply.name]?.(reply.event as never);
  }

  /** Nothing can be acknowledged any more: whoever waits learns it, and so does whoever comes. */
  #fail(error: unknown): void {
    if (this.#failure !== undefined) return;
    for (const reply of this.#replies.splice(0)) this.#receive(reply);
    // Whoever opens an index from now on gets another thread.
    this.#onEnd(this);
    this.#failure = new Problem(
      'store_unavailable',
      'The index has stopped. Restart the service.',
      {},
      { cause: error },
    );
    for (const { reject } of this.#pending.values()) reject(this.#failure);
    this.#pending.clear();
    for (const { logger } of this.#listeners.values()) logger.error({ err: error }, 'index: the thread has stopped');
  }
}
