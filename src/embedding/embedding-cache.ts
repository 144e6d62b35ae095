import { LRUCache } from 'lru-cache';
import { clientClosed } from '../common/errors.js';
import type { Metrics } from '../observability/metrics.js';
import type { Embedding } from './embedding.js';

/** Rough size of the key, the map entry and the objects around a vector. */
const ENTRY_OVERHEAD_BYTES = 400;

/** Bytes of memory that a cached embedding takes. */
export const sizeOfEmbedding = ({ vector }: Embedding): number => vector.byteLength + ENTRY_OVERHEAD_BYTES;

/** A computation under way, and how many requests wait for it. */
interface Flight<Value> {
  promise: Promise<Value>;
  controller: AbortController;
  waiters: number;
  isSettled: boolean;
}

export interface GetOptions {
  /** Aborted when the caller has disconnected. */
  signal?: AbortSignal | undefined;
  /** Only computations of the same kind are shared. */
  flight?: string;
  /** Keeps what `compute` reads, until the returned function is called: others may wait for it longer than the caller. */
  hold?: () => () => void;
}

/** A larger and slower cache behind the one in memory. */
export interface SecondTier<Value> {
  readonly bytes: number;
  /** @returns undefined where the key is certainly not there; must not reject */
  get(key: string): Promise<Value | undefined> | undefined;
  set(key: string, value: Value): void;
}

/**
 * Remembers embeddings: the most recently used in memory, over a larger part on disk. Identical inputs that arrive
 * together are computed once; the computation is aborted when every caller that waits for it has disconnected.
 */
export class EmbeddingCache<Value extends NonNullable<unknown>> {
  private readonly memory: LRUCache<string, Value> | undefined;
  private readonly flights = new Map<string, Flight<Value>>();

  /**
   * @param maxBytes of memory; 0 keeps nothing there
   * @param sizeOf bytes that a value takes in memory, its key included
   */
  constructor(
    maxBytes: number,
    sizeOf: (value: Value) => number,
    private readonly metrics: Metrics,
    private readonly disk?: SecondTier<Value>,
  ) {
    this.memory = maxBytes > 0 ? new LRUCache({ maxSize: maxBytes, sizeCalculation: sizeOf }) : undefined;
    metrics.watchCache('memory', () => this.memory?.calculatedSize ?? 0);
    if (disk !== undefined) metrics.watchCache('disk', () => disk.bytes);
  }

  /** The value of `key`: from memory, from disk, from a computation under way, or from `compute`. */
  async get(
    key: string,
    compute: (signal: AbortSignal) => Promise<Value>,
    { signal, flight: kind = '', hold }: GetOptions = {},
  ): Promise<Value> {
    const { cacheLookups } = this.metrics;
    const remembered = this.memory?.get(key);
    if (remembered !== undefined) {
      cacheLookups.inc({ outcome: 'hit' });
      return remembered;
    }
    const underWay = this.flights.get(kind + key);
    if (underWay === undefined) return this.join(this.start(key, kind, compute, hold), signal);
    cacheLookups.inc({ outcome: 'shared' });
    return this.join(underWay, signal);
  }

  private start(
    key: string,
    kind: string,
    compute: (signal: AbortSignal) => Promise<Value>,
    hold: GetOptions['hold'],
  ): Flight<Value> {
    const id = kind + key;
    const controller = new AbortController();
    const release = hold?.();
    const promise = this.readOrCompute(key, compute, controller.signal).finally(() => {
      flight.isSettled = true;
      if (this.flights.get(id) === flight) this.flights.delete(id);
      release?.();
    });
    // Waiting callers see a failure through `join`; without any it must not become an unhandled rejection.
    promise.catch(() => {});
    const flight: Flight<Value> = { promise, controller, waiters: 0, isSettled: false };
    this.flights.set(id, flight);
    controller.signal.addEventListener('abort', () => this.flights.delete(id), { once: true });
    return flight;
  }

  private async readOrCompute(
    key: string,
    compute: (signal: AbortSignal) => Promise<Value>,
    signal: AbortSignal,
  ): Promise<Value> {
    const reading = this.disk?.get(key);
    const stored = reading && (await reading);
    this.metrics.cacheLookups.inc({ outcome: stored === undefined ? 'miss' : 'disk_hit' });
    if (signal.aborted) throw clientClosed();
    const value = stored ?? (await compute(signal));
    this.memory?.set(key, value);
    if (stored === undefined) this.disk?.set(key, value);
    return value;
  }

  private async join(flight: Flight<Value>, signal?: AbortSignal): Promise<Value> {
    flight.waiters++;
    const aborted = signal && rejectWhenAborted(signal);
    try {
      return await (aborted === undefined ? flight.promise : Promise.race([flight.promise, aborted.promise]));
    } finally {
      aborted?.forget();
      flight.waiters--;
      if (flight.waiters === 0 && !flight.isSettled) flight.controller.abort();
    }
  }
}

/** @returns a promise that rejects when the signal aborts, until it is forgotten: the signal may live for hours */
function rejectWhenAborted(signal: AbortSignal): { promise: Promise<never>; forget: () => void } {
  let forget = () => {};
  const promise = new Promise<never>((_, reject) => {
    if (signal.aborted) reject(clientClosed());
    const onAbort = () => reject(clientClosed());
    signal.addEventListener('abort', onAbort, { once: true });
    forget = () => signal.removeEventListener('abort', onAbort);
  });
  return { promise, forget };
}
