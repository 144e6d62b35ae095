import { clientClosed } from '../common/errors.js';

interface Waiting {
  weight: number;
  proceed: () => void;
}

/** Tasks at a time whose weights add up to `capacity` at most; the others wait in the order they came. */
export class Slots {
  private free: number;
  private waiting: Waiting[] = [];

  constructor(readonly capacity: number) {
    this.free = capacity;
  }

  /**
   * Runs `task` when its turn has come and there is room for it.
   *
   * @param options.weight a task heavier than the capacity runs alone
   * @throws Problem client_closed when the signal is aborted while waiting
   */
  async use<T>(
    task: () => Promise<T>,
    options: { weight?: number; signal?: AbortSignal | undefined } = {},
  ): Promise<T> {
    const weight = Math.min(options.weight ?? 1, this.capacity);
    await this.take(weight, options.signal);
    try {
      return await task();
    } finally {
      this.free += weight;
      this.admit();
    }
  }

  private async take(weight: number, signal: AbortSignal | undefined): Promise<void> {
    if (signal?.aborted) throw clientClosed();
    await new Promise<void>((resolve, reject) => {
      const leave = () => {
        this.waiting = this.waiting.filter((other) => other !== place);
        // Those behind may have waited only for this one.
        this.admit();
        reject(clientClosed());
      };
      const proceed = () => {
        signal?.removeEventListener('abort', leave);
        resolve();
      };
      const place = { weight, proceed };
      signal?.addEventListener('abort', leave, { once: true });
      this.waiting.push(place);
      this.admit();
    });
  }

  /** Lets in the first of those waiting, as long as there is room: nobody overtakes. */
  private admit(): void {
    for (let [next] = this.waiting; next !== undefined && next.weight <= this.free; [next] = this.waiting) {
      this.waiting.shift();
      this.free -= next.weight;
      next.proceed();
    }
  }
}
