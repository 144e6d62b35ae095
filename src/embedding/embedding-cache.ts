import { clientClosed } from '../common/errors.js';
import type { Metrics } from '../observability/metrics.js';
import type { ColdCache } from './disk-cache.js';

interface Flight<Value> {
  promise: Promise<Value>;
  controller: AbortController;
  waiters: number;
  /** Whether there is nothing left to stop. */
  settled: boolean;
}

interface Entry<Value> {
  value: Value;
  bytes: number;
}

export interface GetOptions {
  signal?: AbortSignal | undefined;
  /** Only computations of the same kind are shared. */
  flight?: string;
}

/**
 * Results of inputs seen before: hot in memory, where the least recently used go first when `maxBytes` is
 * reached, over a cold part on disk where there is one.
 * Identical inputs that arrive together are computed once; the computation stops when all who wait have gone.
 */
export class Cache<Value> {
  // A Map iterates in the order of insertion: re-inserting on every use keeps the least recent first.
  private readonly entries = new Map<string, Entry<Value>>();
  private readonly flights = new Map<string, Flight<Value>>();
  private heldBytes = 0;

  /** @param sizeOf bytes a value holds, its key included */
  constructor(
    private readonly maxBytes: number,
    private readonly sizeOf: (value: Value) => number,
    private readonly metrics: Metrics,
    private readonly cold?: ColdCache<Value>,
  ) {
    metrics.watchCache('memory', () => this.heldBytes);
    if (cold !== undefined) metrics.watchCache('disk', () => cold.bytes);
  }

  /** The value of `key`, from memory, from a computation under way, or from `compute`. */
  async get(
    key: string,
    compute: (signal: AbortSignal) => Promise<Value>,
    { signal, flight: kind = '' }: GetOptions = {},
  ): Promise<Value> {
    const entry = this.entries.get(key);
    if (entry !== undefined) {
      this.metrics.cacheLookups.inc({ outcome: 'hit' });
      this.entries.delete(key);
      this.entries.set(key, entry);
      return entry.value;
    }
    const flight = this.flights.get(kind + key);
    const cold = flight === undefined ? this.cold?.get(key) : undefined;
    this.metrics.cacheLookups.inc({
      outcome: flight !== undefined ? 'shared' : cold !== undefined ? 'disk_hit' : 'miss',
    });
    if (cold === undefined) return this.join(flight ?? this.start(key, kind, compute), signal);
    this.keep(key, cold);
    return cold;
  }

  private start(key: string, kind: string, compute: (signal: AbortSignal) => Promise<Value>): Flight<Value> {
    const place = kind + key;
    const controller = new AbortController();
    const promise = compute(controller.signal)
      .then((value) => {
        this.keep(key, value);
        this.cold?.set(key, value);
        return value;
      })
      .finally(() => {
        flight.settled = true;
        if (this.flights.get(place) === flight) this.flights.delete(place);
      });
    // Those who wait see a failure through `join`; when all have gone there is nobody to tell.
    promise.catch(() => {});
    const flight: Flight<Value> = { promise, controller, waiters: 0, settled: false };
    this.flights.set(place, flight);
    controller.signal.addEventListener('abort', () => this.flights.delete(place), { once: true });
    return flight;
  }

  private async join(flight: Flight<Value>, signal?: AbortSignal): Promise<Value> {
    flight.waiters++;
    try {
      return await (signal === undefined ? flight.promise : Promise.race([flight.promise, aborted(signal)]));
    } finally {
      flight.waiters--;
      if (flight.waiters === 0 && !flight.settled) flight.controller.abort();
    }
  }

  private keep(key: string, value: Value): void {
    const bytes = this.sizeOf(value);
    if (bytes > this.maxBytes) return;
    this.heldBytes += bytes - (this.entries.get(key)?.bytes ?? 0);
    this.entries.set(key, { value, bytes });
    for (const [oldest, entry] of this.entries) {
      if (this.heldBytes <= this.maxBytes) break;
      this.entries.delete(oldest);
      this.heldBytes -= entry.bytes;
    }
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(clientClosed());
    signal.addEventListener('abort', () => reject(clientClosed()), { once: true });
  });
}
