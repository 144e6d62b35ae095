import { Problem } from './errors.js';

/**
 * How many requests may be under way at once. A permit is taken before a body is read, so that a service at
 * its limit refuses at once instead of receiving what it cannot serve.
 */
export class Permits {
  private taken = 0;

  constructor(
    private readonly limit: number,
    private readonly onRefusal: () => void,
  ) {}

  /** Takes a permit. @returns the function that gives it back, once. @throws Problem `overloaded` */
  take(): () => void {
    if (this.taken >= this.limit) {
      this.onRefusal();
      const detail = `${this.limit} requests are under way already; try again in a second.`;
      throw new Problem('overloaded', detail, { retry_after_seconds: 1 });
    }
    this.taken++;
    let held = true;
    return () => {
      if (held) this.taken--;
      held = false;
    };
  }
}
