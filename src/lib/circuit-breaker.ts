export interface BreakerOptions {
  /** Failures in a row after which nobody is let through for a while. Default: 5. */
  failuresMax?: number;
  /** The while. Default: 5 s. */
  openMs?: number;
  /** The while doubles up to this, each time it did not help. Default: it stays the same. */
  openMaxMs?: number;
  /** A clock that never goes back. */
  nowMs?: () => number;
}

/**
 * Spares what does not answer, and its callers the wait. After too many failures in a
 * row calls are refused at once; after a pause one call may try, and its outcome decides.
 * Source: M. Nygard, Release It!, "Circuit Breaker".
 */
export class CircuitBreaker {
  readonly #failuresMax: number;
  readonly #openFirstMs: number;
  readonly #openMaxMs: number;
  readonly #nowMs: () => number;
  #failures = 0;
  #openMs: number;
  #openUntilMs = 0;

  constructor({ failuresMax = 5, openMs = 5_000, openMaxMs = openMs, nowMs }: BreakerOptions = {}) {
    this.#failuresMax = failuresMax;
    this.#openFirstMs = Math.min(openMs, openMaxMs);
    this.#openMaxMs = openMaxMs;
    this.#openMs = this.#openFirstMs;
    this.#nowMs = nowMs ?? (() => performance.now());
  }

  /** Whether calls are let through. */
  get isClosed(): boolean {
    return this.#failures < this.#failuresMax;
  }

  /** How long nobody is let through from now on. */
  get remainingMs(): number {
    return this.isClosed ? 0 : Math.max(0, this.#openUntilMs - this.#nowMs());
  }

  /** Whether a call may be made now. Who gets true after a pause is the one that tries. */
  admits(): boolean {
    if (this.isClosed) return true;
    if (this.#nowMs() < this.#openUntilMs) return false;
    this.#openUntilMs = this.#nowMs() + this.#openMs;
    return true;
  }

  succeeded(): void {
    this.#failures = 0;
  }

  failed(): void {
    this.#failures += 1;
    if (!this.isClosed) this.#open();
  }

  /** Lets nobody through for a while, however few failures there were. */
  trip(): void {
    this.#failures = this.#failuresMax;
    this.#open();
  }

  /** What fails again soon after it was well gets the longer pause: else it would go to and fro. */
  #open(): void {
    const wellForMs = this.#nowMs() - this.#openUntilMs;
    const isFirst = this.#openUntilMs === 0 || wellForMs > this.#openMaxMs;
    this.#openMs = isFirst ? this.#openFirstMs : Math.min(2 * this.#openMs, this.#openMaxMs);
    this.#openUntilMs = this.#nowMs() + this.#openMs;
  }
}
