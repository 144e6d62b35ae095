/** Lets pending I/O and timers run: long work calls it between slices. */
export const yieldToEventLoop = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Spreads work over the event loop: of those that wait for their turn, one continues in each turn of the loop. */
export class Turns {
  private last = Promise.resolve();

  next(): Promise<void> {
    this.last = this.last.then(yieldToEventLoop);
    return this.last;
  }
}
