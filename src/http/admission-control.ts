import { Problem } from '../common/errors.js';

export interface PermitLimits {
  /** Requests under way at once. */
  requests: number;
  /** Bytes of their bodies together. */
  bytes: number;
}

/**
 * How much may be under way at once. A permit is taken before a body is read, so that a service at its limit
 * refuses at once instead of receiving what it cannot serve.
 */
export class Permits {
  private requests = 0;
  private bytes = 0;

  /** Requests that hold a permit. */
  get underWay(): number {
    return this.requests;
  }

  /** @param onRefusal told which limit was reached */
  constructor(
    private readonly limits: PermitLimits,
    private readonly onRefusal: (reason: keyof PermitLimits) => void,
  ) {}

  /**
   * Takes a permit for a request whose body has so many bytes. One alone is never refused for its size.
   * @returns the function that gives it back, once
   * @throws Problem `overloaded`
   */
  take(bytes: number): () => void {
    if (this.requests >= this.limits.requests) throw this.refusal('requests', `${this.requests} requests`);
    const fits = this.requests === 0 || this.bytes + bytes <= this.limits.bytes;
    if (!fits) throw this.refusal('bytes', `Requests of ${Math.round(this.bytes / 1e6)} MB`);
    this.requests++;
    this.bytes += bytes;
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.requests--;
      this.bytes -= bytes;
    };
  }

  private refusal(reason: keyof PermitLimits, underWay: string): Problem {
    this.onRefusal(reason);
    const detail = `${underWay} are under way already; try again in a second.`;
    return new Problem('overloaded', detail, { retry_after_seconds: 1 });
  }
}
