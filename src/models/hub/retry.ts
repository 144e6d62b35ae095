import { setTimeout as sleep } from 'node:timers/promises';
import { HubError } from './hub-error.js';

export interface Patience {
  /** Failures in a row, without anything gained between them, after which to give up. */
  failuresMax: number;
  firstWaitMs: number;
  longestWaitMs: number;
}

/** The hub counts requests in windows of five minutes: one of them can be waited for. */
export const PATIENCE: Patience = { failuresMax: 6, firstWaitMs: 1_000, longestWaitMs: 310_000 };
const LONGEST_BACKOFF_MS = 30_000;

/**
 * Repeats `task` while what fails may pass: after the time the hub asks for, else after exponentially longer times
 * chosen at random, so that many who were refused together do not come back together (M. Brooker, "Exponential
 * Backoff and Jitter").
 *
 * @param progress grows while the task gains something; failures are counted from the last gain
 */
export async function retrying<Result>(
  task: () => Promise<Result>,
  { failuresMax, firstWaitMs, longestWaitMs }: Patience,
  say: (message: string) => void,
  progress: () => number = () => 0,
): Promise<Result> {
  let gained = progress();
  for (let failures = 1; ; failures++) {
    try {
      return await task();
    } catch (error) {
      if (!(error instanceof HubError) || !error.isPassing) throw error;
      if (progress() > gained) failures = 1;
      gained = progress();
      const backoffMs = Math.min(LONGEST_BACKOFF_MS, firstWaitMs * 2 ** (failures - 1)) * (0.5 + Math.random() / 2);
      const waitMs = error.waitMs ?? backoffMs;
      if (failures >= failuresMax || waitMs > longestWaitMs) throw error;
      say(`${error.message} Trying again in ${Math.ceil(waitMs / 1000)} s.`);
      await sleep(waitMs);
    }
  }
}
