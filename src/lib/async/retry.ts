import { setTimeout as sleep } from 'node:timers/promises';

/** How often and how patiently a failed task is repeated. */
export interface RetryPolicy {
  /** Failures in a row after which the last error is thrown; the first attempt counts. */
  attempts: number;
  /** Upper bound of the delay after the first failure; it doubles with each further one. */
  firstMs: number;
  /** Upper bound of every delay that the peer does not set. */
  maxMs: number;
}

export interface RetryOptions extends RetryPolicy {
  /** Whether an error may pass. Default: every error may. */
  shouldRetry?: (error: unknown) => boolean;
  /** The delay that the peer demands with an error, such as `Retry-After`; it replaces the random one. */
  retryAfterMs?: (error: unknown) => number | undefined;
  /** Called before each delay. */
  onRetry?: (error: unknown, delayMs: number) => void;
  /** Grows while the task gets further: failures are counted from the last gain. */
  progress?: () => number;
  /** Ends the attempts: the current delay rejects with an AbortError. */
  signal?: AbortSignal;
}

/**
 * Runs `task` until it succeeds. Delays are exponential with full jitter, a random part of a bound that doubles, so
 * that callers who failed together do not return together.
 * Source: M. Brooker, Exponential Backoff And Jitter, AWS Architecture Blog, 2015.
 *
 * @throws the last error of `task` when it may not pass, when the attempts are used up, or when `signal` is aborted
 */
export async function retry<Result>(task: () => Promise<Result>, options: RetryOptions): Promise<Result> {
  const { attempts, firstMs, maxMs, signal, shouldRetry, retryAfterMs, onRetry, progress = () => 0 } = options;
  let reached = progress();
  for (let failures = 1; ; failures++) {
    try {
      return await task();
    } catch (error) {
      if (progress() > reached) failures = 1;
      reached = progress();
      if (signal?.aborted || failures >= attempts || shouldRetry?.(error) === false) throw error;
      const delayMs = retryAfterMs?.(error) ?? Math.random() * Math.min(maxMs, firstMs * 2 ** (failures - 1));
      onRetry?.(error, delayMs);
      await sleep(delayMs, undefined, { signal });
    }
  }
}
