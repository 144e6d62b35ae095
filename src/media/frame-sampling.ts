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
 * The moments' times, in seconds from the clip's first picture. The middle of each span rather
 * than its start: a cut on a whole second falls between two moments, not on one.
 */
export const momentsSeconds = ({ count, spacingSeconds }: SamplingPlan): number[] =>
  Array.from({ length: count }, (_, position) => (position + 0.5) * spacingSeconds);

/**
 * Whether keyframes are so dense that every span has one in its first half: then the one on
 * screen at the span's middle is of that span, and nothing else needs to be decoded.
 *
 * @param keyframeSeconds ascending
 */
export function keyframesSuffice(plan: SamplingPlan, keyframeSeconds: readonly number[]): boolean {
  const endSeconds = plan.count * plan.spacingSeconds;
  const gaps = keyframeSeconds.map((seconds, i) => (keyframeSeconds[i + 1] ?? endSeconds) - seconds);
  return keyframeSeconds[0] === 0 && gaps.every((gapSeconds) => gapSeconds <= plan.spacingSeconds / 2);
}

/** The last of `pictureSeconds` (ascending) that is not after each of `moments` (ascending). */
export function lastShownSeconds(moments: readonly number[], pictureSeconds: readonly number[]): number[] {
  let shown = 0;
  return moments.map((seconds) => {
    while ((pictureSeconds[shown + 1] ?? Number.POSITIVE_INFINITY) <= seconds) shown += 1;
    return pictureSeconds[shown] ?? seconds;
  });
}
