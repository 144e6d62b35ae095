const RETRY_BASE_MS = 50;
const RETRY_MAX_MS = 1_000;

/**
 * How long to wait before another attempt: a random part of a wait that doubles ("full jitter"), so that those
 * who failed together do not come back together.
 * Source: M. Brooker, Exponential Backoff And Jitter, AWS Architecture Blog, 2015.
 */
export const jitteredMs = (attempt: number): number =>
  Math.random() * Math.min(RETRY_MAX_MS, RETRY_BASE_MS * 2 ** attempt);
