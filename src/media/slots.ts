import { clientClosed } from '../errors.js';

/** At most `count` tasks at a time; the others wait in the order they came. */
export class Slots {
  private free: number;
  private readonly waiting: (() => void)[] = [];

  constructor(count: number) {
    this.free = count;
  }

  /**
   * Runs `task` as soon as a slot is free.
   * @throws Problem client_closed when `signal` is aborted while waiting
   */
  async use<T>(task: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    await this.take(signal);
    try {
      return await task();
    } finally {
      const next = this.waiting.shift();
      if (next) next();
      else this.free += 1;
    }
  }

  private async take(signal: AbortSignal | undefined): Promise<void> {
    if (signal?.aborted) throw clientClosed();
    if (this.free > 0) {
      this.free -= 1;
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const proceed = () => {
        signal?.removeEventListener('abort', leave);
        resolve();
      };
      const leave = () => {
        this.waiting.splice(this.waiting.indexOf(proceed), 1);
        reject(clientClosed());
      };
      this.waiting.push(proceed);
      signal?.addEventListener('abort', leave, { once: true });
    });
  }
}
