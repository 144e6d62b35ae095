import { clientClosed } from '../errors.js';
import type { Metrics } from '../metrics.js';

interface Flight<Value> {
  promise: Promise<Value>;
  controller: AbortController;
  waiters: number;
}

interface Entry<Value> {
  value: Value;
  bytes: number;
}

/**
 * Results of inputs seen before: least recently used go first when `maxBytes` is reached.
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
  ) {
    metrics.watchCache(() => this.heldBytes);
  }

  /** Whether a look-up of `key` would need no computation of its own. */
  has(key: string): boolean {
    return this.entries.has(key) || this.flights.has(key);
  }

  /** The value of `key`, from memory, from a computation under way, or from `compute`. */
  async get(key: string, compute: (signal: AbortSignal) => Promise<Value>, signal?: AbortSignal): Promise<Value> {
    const entry = this.entries.get(key);
    if (entry !== undefined) {
      this.metrics.cacheLookups.inc({ outcome: 'hit' });
      this.entries.delete(key);
      this.entries.set(key, entry);
      return entry.value;
    }
    this.metrics.cacheLookups.inc({ outcome: this.flights.has(key) ? 'shared' : 'miss' });
    return this.join(this.flights.get(key) ?? this.start(key, compute), signal);
  }

  private start(key: string, compute: (signal: AbortSignal) => Promise<Value>): Flight<Value> {
    const controller = new AbortController();
    const promise = compute(controller.signal)
      .then((value) => {
        this.keep(key, value);
        return value;
      })
      .finally(() => {
        if (this.flights.get(key) === flight) this.flights.delete(key);
      });
    // Those who wait see a failure through `join`; when all have gone there is nobody to tell.
    promise.catch(() => {});
    const flight: Flight<Value> = { promise, controller, waiters: 0 };
    this.flights.set(key, flight);
    controller.signal.addEventListener('abort', () => this.flights.delete(key), { once: true });
    return flight;
  }

  private async join(flight: Flight<Value>, signal?: AbortSignal): Promise<Value> {
    flight.waiters++;
    try {
      return await (signal === undefined ? flight.promise : Promise.race([flight.promise, aborted(signal)]));
    } finally {
      flight.waiters--;
      if (flight.waiters === 0) flight.controller.abort();
    }
  }

  private keep(key: string, value: Value): void {
    const bytes = this.sizeOf(value);
    if (bytes > this.maxBytes) return;
    this.entries.set(key, { value, bytes });
    this.heldBytes += bytes;
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
