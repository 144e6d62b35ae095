/** Lets pending I/O and timers run: long work calls it between slices. */
export const yieldToEventLoop = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
