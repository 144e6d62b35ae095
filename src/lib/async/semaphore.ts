import { clientClosed } from '../../common/errors.js';

interface Waiter {
  weight: number;
  proceed: () => void;
}

/** A weighted semaphore: the weights of running tasks add up to `capacity` at most; the others wait in FIFO order. */
export class Semaphore {
  private free: number;
  private waiters: Waiter[] = [];

  constructor(readonly capacity: number) {
    this.free = capacity;
  }

  /**
   * Runs `task` once every earlier task has started and its weight is free.
   *
   * @param options.weight 1 by default; a task heavier than the capacity runs alone
   * @returns the outcome of `task`
   * @throws Problem `client_closed` when the signal is aborted before the task starts
   */
  async use<T>(
    task: () => Promise<T>,
    options: { weight?: number; signal?: AbortSignal | undefined } = {},
  ): Promise<T> {
    const weight = Math.min(options.weight ?? 1, this.capacity);
    await this.acquire(weight, options.signal);
    try {
      return await task();
    } finally {
      this.free += weight;
      this.admit();
    }
  }

  private async acquire(weight: number, signal: AbortSignal | undefined): Promise<void> {
    if (signal?.aborted) throw clientClosed();
    await new Promise<void>((resolve, reject) => {
      const leave = () => {
        this.waiters = this.waiters.filter((other) => other !== waiter);
        // This waiter may have been the only obstacle for those behind it.
        this.admit();
        reject(clientClosed());
      };
      const proceed = () => {
        signal?.removeEventListener('abort', leave);
        resolve();
      };
      const waiter = { weight, proceed };
      signal?.addEventListener('abort', leave, { once: true });
      this.waiters.push(waiter);
      this.admit();
    });
  }

  /** Strictly first in, first out: a light task never overtakes a heavy one, which would otherwise starve. */
  private admit(): void {
    for (let [next] = this.waiters; next !== undefined && next.weight <= this.free; [next] = this.waiters) {
      this.waiters.shift();
      this.free -= next.weight;
      next.proceed();
    }
  }
}
