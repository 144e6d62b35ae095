/** Lets everything else that waits have its turn: long work is done in slices. */
export const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
