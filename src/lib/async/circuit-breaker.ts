export interface BreakerOptions {
  /** Failures in a row that open the breaker. Default: 5. */
  failuresMax?: number;
  /** How long it stays open. Default: 5 s. */
  openMs?: number;
  /** Upper bound of that time, which doubles each time the first call afterwards fails. Default: `openMs`. */
  openMaxMs?: number;
  /** A monotonic clock. */
  nowMs?: () => number;
}

/**
 * Fails fast while a dependency is down. Failures in a row open the breaker; while it is open no call is made. When
 * the time is over one call is admitted (half-open), and its outcome closes the breaker or opens it again.
 * Source: M. Nygard, Release It!, "Circuit Breaker".
 */
export class CircuitBreaker {
  /** Failures since the last success. A plain field: callers on a hot path read it without running code here. */
  readonly failures: number = 0;
  readonly #failuresMax: number;
  readonly #openFirstMs: number;
  readonly #openMaxMs: number;
  readonly #nowMs: () => number;
  #openMs: number;
  #openUntilMs = 0;

  constructor({ failuresMax = 5, openMs = 5_000, openMaxMs = openMs, nowMs }: BreakerOptions = {}) {
    this.#failuresMax = failuresMax;
    this.#openFirstMs = Math.min(openMs, openMaxMs);
    this.#openMaxMs = openMaxMs;
    this.#openMs = this.#openFirstMs;
    this.#nowMs = nowMs ?? (() => performance.now());
  }

  get isClosed(): boolean {
    return this.failures < this.#failuresMax;
  }

  /** Milliseconds until a call is admitted; 0 while the breaker is closed. */
  get remainingMs(): number {
    return this.isClosed ? 0 : Math.max(0, this.#openUntilMs - this.#nowMs());
  }

  /** Whether a call may be made now. In the half-open state one caller gets true; the others wait for its outcome. */
  admits(): boolean {
    if (this.isClosed) return true;
    if (this.#nowMs() < this.#openUntilMs) return false;
    this.#openUntilMs = this.#nowMs() + this.#openMs;
    return true;
  }

  succeeded(): void {
    this.#count(0);
  }

  failed(): void {
    this.#count(this.failures + 1);
    if (!this.isClosed) this.#open();
  }

  /** Opens the breaker, however few failures there were. */
  trip(): void {
    this.#count(this.#failuresMax);
    this.#open();
  }

  #count(failures: number): void {
    (this as { failures: number }).failures = failures;
  }

  /** A dependency that fails again soon after it recovered gets the longer time: a flapping one is left alone. */
  #open(): void {
    const recoveredForMs = this.#nowMs() - this.#openUntilMs;
    const isFirst = this.#openUntilMs === 0 || recoveredForMs > this.#openMaxMs;
    this.#openMs = isFirst ? this.#openFirstMs : Math.min(2 * this.#openMs, this.#openMaxMs);
    this.#openUntilMs = this.#nowMs() + this.#openMs;
  }
}
