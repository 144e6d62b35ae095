import type { FrameSampling } from './frame.js';

/** Which frames of a video are sampled: those shown in the middles of `count` equal spans. */
export interface SamplingPlan {
  count: number;
  /** Seconds from one sampled frame to the next. */
  spacingSeconds: number;
}

/**
 * Plans `framesPerSecond` samples a second, more of a short video (at least `minFrames`) and fewer of a long one (at
 * most `maxFrames`), always evenly over the whole duration.
 */
export function planSampling(durationSeconds: number, sampling: FrameSampling): SamplingPlan {
  const byRate = Math.round(durationSeconds * sampling.framesPerSecond);
  const count = Math.min(Math.max(byRate, sampling.minFrames, 1), Math.max(sampling.maxFrames, 1));
  return { count, spacingSeconds: durationSeconds / count };
}

/**
 * The timestamps of a plan, in seconds from the first frame, ascending. The middle of each span rather than its start:
 * a cut on a whole second falls between two samples, not on one.
 */
export const timestampsSeconds = ({ count, spacingSeconds }: SamplingPlan): number[] =>
  Array.from({ length: count }, (_, position) => (position + 0.5) * spacingSeconds);

/**
 * Whether every span has a keyframe in its first half. The keyframe shown at the span's middle is then of that span,
 * and no other frame needs to be decoded.
 *
 * @param keyframeSeconds ascending
 */
export function keyframesSuffice(plan: SamplingPlan, keyframeSeconds: readonly number[]): boolean {
  const endSeconds = plan.count * plan.spacingSeconds;
  const gaps = keyframeSeconds.map((seconds, i) => (keyframeSeconds[i + 1] ?? endSeconds) - seconds);
  return keyframeSeconds[0] === 0 && gaps.every((gapSeconds) => gapSeconds <= plan.spacingSeconds / 2);
}

/**
 * For each timestamp, the time of the last keyframe that is not after it.
 *
 * @param timestamps in seconds, ascending
 * @param keyframeSeconds ascending
 */
export function keyframeSecondsAt(timestamps: readonly number[], keyframeSeconds: readonly number[]): number[] {
  let shown = 0;
  return timestamps.map((seconds) => {
    while ((keyframeSeconds[shown + 1] ?? Number.POSITIVE_INFINITY) <= seconds) shown += 1;
    return keyframeSeconds[shown] ?? seconds;
  });
}
