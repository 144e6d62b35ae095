import { setTimeout as sleep } from 'node:timers/promises';

/** Readings within this time are one: all series of a scrape share it. */
const FRESH_MS = 1_000;
/** How long a caller waits for a new reading before it gets the one before. */
const WAIT_MS = 50;
/** A reading that takes longer counts as failed. */
const HANG_MS = 5_000;

/**
 * A value whose reading may be slow or never end: of another process, a disk, a server elsewhere. Callers get the
 * newest reading within `WAIT_MS`. A reading that fails or hangs leaves no value, so that nothing stale is reported.
 * Nothing is read while nobody asks.
 */
export class Sampled<Value> {
  private value: Value | undefined;
  private startedMs = Number.NEGATIVE_INFINITY;
  private reading: Promise<void> | undefined;

  constructor(private readonly read: () => Promise<Value>) {}

  /** The newest value; undefined when the last reading failed or hangs, and until the first one has come. */
  async get(): Promise<Value | undefined> {
    if (this.reading === undefined && performance.now() - this.startedMs >= FRESH_MS) this.start();
    if (this.reading !== undefined) await Promise.race([this.reading, sleep(WAIT_MS, undefined, { ref: false })]);
    return this.hangs ? undefined : this.value;
  }

  /** Whether a reading has been under way for so long that it counts as failed. */
  get hangs(): boolean {
    return this.reading !== undefined && performance.now() - this.startedMs > HANG_MS;
  }

  private start(): void {
    this.startedMs = performance.now();
    const keep = (value: Value | undefined) => {
      this.value = value;
      this.reading = undefined;
    };
    this.reading = this.read().then(keep, () => keep(undefined));
  }
}
