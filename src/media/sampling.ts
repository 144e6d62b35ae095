import type { FrameSampling } from './frame.js';

/** Which moments of a clip are looked at: the middles of `count` equal spans. */
export interface SamplingPlan {
  count: number;
  /** Seconds from one moment to the next. */
  spacingSeconds: number;
}

/**
 * `framesPerSecond` moments a second, more of a short clip (at least `minFrames`) and fewer of a
 * long one (at most `maxFrames`), always evenly over the whole duration.
 */
export function planSampling(durationSeconds: number, sampling: FrameSampling): SamplingPlan {
  const wanted = Math.round(durationSeconds * sampling.framesPerSecond);
  const count = Math.min(Math.max(wanted, sampling.minFrames, 1), Math.max(sampling.maxFrames, 1));
  return { count, spacingSeconds: durationSeconds / count };
}

/**
 * The time of the moment at `position`, in seconds from the clip's first picture. The middle of
 * its span rather than its start: a cut on a whole second falls between two moments, not on one.
 */
export const momentSeconds = (plan: SamplingPlan, position: number): number => (position + 0.5) * plan.spacingSeconds;
