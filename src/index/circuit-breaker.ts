/** Failures in a row after which nobody is let through for a while. */
const FAILURES_MAX = 5;
const OPEN_MS = 5_000;

/**
 * Spares a server that does not answer, and its callers the wait. After too many failures in a
 * row calls are refused at once; after a pause one call may try, and its outcome decides.
 * Source: M. Nygard, Release It!, "Circuit Breaker".
 */
export class CircuitBreaker {
  #failures = 0;
  #openUntilMs = 0;

  /** @param nowMs a clock that never goes back */
  constructor(readonly nowMs: () => number = () => performance.now()) {}

  /** Whether a call may be made now. Who gets true after a pause is the one that tries. */
  admits(): boolean {
    if (this.#failures < FAILURES_MAX) return true;
    if (this.nowMs() < this.#openUntilMs) return false;
    this.#openUntilMs = this.nowMs() + OPEN_MS;
    return true;
  }

  succeeded(): void {
    this.#failures = 0;
  }

  failed(): void {
    this.#failures += 1;
    if (this.#failures >= FAILURES_MAX) this.#openUntilMs = this.nowMs() + OPEN_MS;
  }
}
