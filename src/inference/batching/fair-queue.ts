/** What the queue needs to know of a job. */
export interface Queued {
  textLength: number;
  patchCount: number;
  /** Goes in a batch of its own: it may have failed one that it shared. */
  alone?: boolean;
}

export interface BatchLimits {
  /** Tokens of one batch, padding counted. A single longer job still goes, alone. */
  maxTokens: number;
  maxSize: number;
}

/** Texts up to this length share a lane: padding them to each other costs less than another batch. */
const SHORTEST_LANE_TOKENS = 16;

/** Tokens a batch costs with its padding: what the memory and time of a forward pass follow. */
export const paddedTokens = (jobs: readonly Queued[]): number =>
  jobs.length *
  (Math.max(...jobs.map(({ textLength }) => textLength)) + Math.max(...jobs.map(({ patchCount }) => patchCount)));

interface Lane<Job> {
  jobs: Job[];
  /** Work done for this lane, in padded tokens: the lane that had least goes next. */
  served: number;
}

/**
 * The queue before the model. Jobs wait in lanes of like length and kind, so that a batch pads little and a
 * sentence never pads to a video; the lanes take turns by the work done for each (start-time fair queueing,
 * Goyal, Vin and Cheng 1996), so that long work cannot starve short work, nor the reverse.
 */
export class Lanes<Job extends Queued> {
  private readonly lanes = new Map<string, Lane<Job>>();
  private virtualTime = 0;
  private jobCount = 0;

  get length(): number {
    return this.jobCount;
  }

  add(job: Job): void {
    const key = laneOf(job);
    const lane = this.lanes.get(key) ?? { jobs: [], served: 0 };
    this.lanes.set(key, lane);
    // A lane that was idle does not save up its turns.
    if (lane.jobs.length === 0) lane.served = Math.max(lane.served, this.virtualTime);
    lane.jobs.push(job);
    this.jobCount++;
  }

  /** Takes a job out before its turn; false when it is not waiting any more. */
  remove(job: Job): boolean {
    const jobs = this.lanes.get(laneOf(job))?.jobs;
    const place = jobs?.indexOf(job) ?? -1;
    if (place < 0) return false;
    jobs?.splice(place, 1);
    this.jobCount--;
    return true;
  }

  /** The next batch, oldest jobs of the lane first; empty when nothing waits. */
  take(limits: BatchLimits): Job[] {
    const lane = this.nextLane();
    if (lane === undefined) return [];
    this.virtualTime = lane.served;
    const jobs = lane.jobs.splice(0, batchSize(lane.jobs, limits));
    lane.served += paddedTokens(jobs);
    this.jobCount -= jobs.length;
    return jobs;
  }

  /** Whether what waits fills the next batch: one that is full does not grow by waiting. */
  hasFullBatch(limits: BatchLimits): boolean {
    const jobs = this.nextLane()?.jobs ?? [];
    const size = batchSize(jobs, limits);
    return size === limits.maxSize || size < jobs.length;
  }

  private nextLane(): Lane<Job> | undefined {
    let next: Lane<Job> | undefined;
    for (const lane of this.lanes.values()) {
      if (lane.jobs.length > 0 && (next === undefined || lane.served < next.served)) next = lane;
    }
    return next;
  }
}

/** How many of the first jobs go together. */
function batchSize(jobs: readonly Queued[], { maxTokens, maxSize }: BatchLimits): number {
  let [size, texts, patches] = [0, 0, 0];
  for (const job of jobs.slice(0, jobs[0]?.alone ? 1 : maxSize)) {
    if (size > 0 && job.alone) break;
    const [longerText, morePatches] = [Math.max(texts, job.textLength), Math.max(patches, job.patchCount)];
    if (size > 0 && (size + 1) * (longerText + morePatches) > maxTokens) break;
    [size, texts, patches] = [size + 1, longerText, morePatches];
  }
  return size;
}

/** Lengths within a factor of two, of the same kind (text, pixels, both), share a lane. */
function laneOf({ textLength, patchCount }: Queued): string {
  const bucket = (length: number) => (length === 0 ? 0 : Math.ceil(Math.log2(Math.max(length, SHORTEST_LANE_TOKENS))));
  return `${bucket(textLength)}/${bucket(patchCount)}`;
}
