import { Worker } from 'node:worker_threads';
import { Problem } from '../../../common/errors.js';
import type { Logger } from '../../../lib/log/logger.js';
import type { IndexEvents } from '../../events.js';
import { LIMITS } from '../../limits.js';
import { type Argument, fromFailure, type Method, type Reply, type Request, type Result } from './protocol.js';

const ENTRY = new URL('./worker-main.js', import.meta.url);

/**
 * One thread for FAISS and its BLAS, unless the environment sets another number: the matrices of a search are so
 * small that synchronizing threads costs more time than they save. Both libraries read the variable when they are
 * loaded, which is when the first index is opened.
 */
process.env.OMP_NUM_THREADS ??= '1';

interface Listener {
  logger: Logger;
  events: IndexEvents;
}

/**
 * Replies delivered in one turn of the event loop. The worker answers searches in batches, and the rest of its
 * request follows each reply: delivered all at once they would delay every other request.
 */
const REPLIES_PER_TURN = 4;

interface Pending {
  resolve: (result: never) => void;
  reject: (error: unknown) => void;
}

/** The worker that holds every index of this process; it runs while one is open. */
let sharedWorker: IndexWorker | undefined;

/** The connection to one index of the worker. */
export interface IndexClient {
  /**
   * @param transfer buffers that are moved instead of copied
   * @throws what the engine throws; Problem `overloaded`, or `store_unavailable` once the worker has ended; why the
   *   worker cannot start
   */
  call<M extends Method>(method: M, argument: Argument<M>, transfer?: ArrayBuffer[]): Promise<Result<M>>;
  /** Disconnects; the last client to do so ends the worker. */
  disconnect(): Promise<void>;
}

export function connectWorker(listener: Listener): IndexClient {
  sharedWorker ??= new IndexWorker((ended) => {
    if (sharedWorker === ended) sharedWorker = undefined;
  });
  return sharedWorker.join(listener);
}

class IndexWorker {
  readonly #worker = new Worker(ENTRY, { name: 'index' });
  readonly #listeners = new Map<number, Listener>();
  readonly #pending = new Map<number, Pending>();
  readonly #onEnd: (ended: IndexWorker) => void;
  readonly #replies: Reply[] = [];
  #storeCount = 0;
  #callCount = 0;
  #hasStarted = false;
  #failure: unknown;

  constructor(onEnd: (ended: IndexWorker) => void) {
    this.#onEnd = onEnd;
    this.#worker.on('message', (reply: Reply) => {
      this.#hasStarted = true;
      this.#replies.push(reply);
      if (this.#replies.length === 1) setImmediate(() => this.#deliver());
    });
    this.#worker.on('error', (error) => this.#fail(error));
    this.#worker.on('exit', () => this.#fail(new Error('index: the worker has ended')));
  }

  join(listener: Listener): IndexClient {
    const store = ++this.#storeCount;
    this.#listeners.set(store, listener);
    return {
      call: (method, argument, transfer = []) => this.#call(store, method, argument, transfer),
      disconnect: async () => {
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
      const call = ++this.#callCount;
      this.#pending.set(call, { resolve, reject });
      this.#worker.postMessage({ store, call, method, argument } as Request, transfer);
    });
  }

  #deliver(): void {
    for (const reply of this.#replies.splice(0, REPLIES_PER_TURN)) this.#receive(reply);
    if (this.#replies.length > 0) setImmediate(() => this.#deliver());
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

  /** Fails every pending and every later call: nothing can be acknowledged any more. */
  #fail(error: unknown): void {
    if (this.#failure !== undefined) return;
    for (const reply of this.#replies.splice(0)) this.#receive(reply);
    // An index opened from now on gets a new worker.
    this.#onEnd(this);
    const detail = 'The index has stopped. Restart the service.';
    // An error that ends the worker before its first reply is why the index cannot be opened.
    this.#failure = this.#hasStarted ? new Problem('store_unavailable', detail, {}, { cause: error }) : error;
    for (const { reject } of this.#pending.values()) reject(this.#failure);
    this.#pending.clear();
    if (!this.#hasStarted) return;
    for (const { logger } of this.#listeners.values()) logger.error({ err: error }, 'index: the worker has stopped');
  }
}
