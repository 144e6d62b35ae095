/** What the queue reads of a job. */
export interface Queued {
  /** Text tokens. */
  textLength: number;
  /** Patches, or the tokens that images and frames become. */
  patchCount: number;
  /** Whether the job gets a batch of its own: a batch that it shared has failed. */
  alone?: boolean;
  /** Until when it may wait for others to share its batch, by `performance.now()`; without it, it does not. */
  waitsUntilMs?: number | undefined;
}

export interface BatchLimits {
  /** Tokens of one batch, padding included. A single job above it still runs, in a batch of its own. */
  maxTokens: number;
  /** Inputs of one batch. */
  maxSize: number;
}

/** A batch of this many is worth running: on a larger one the model is hardly faster. */
const WORTHWHILE_SIZE = 8;
/** Texts up to this length share a bucket: padding them to each other costs less than another batch. */
const SHORTEST_BUCKET_TOKENS = 16;

/** Tokens of a batch including padding: time and memory of a forward pass grow with them. */
export const paddedTokens = (jobs: readonly Queued[]): number =>
  jobs.length *
  (Math.max(...jobs.map(({ textLength }) => textLength)) + Math.max(...jobs.map(({ patchCount }) => patchCount)));

interface Bucket<Job> {
  jobs: Job[];
  /** Padded tokens served to this bucket: the non-empty bucket with the fewest is next. */
  served: number;
}

/**
 * The queue in front of the model. Jobs wait in buckets of similar length and the same kind, so that a batch pads
 * little and a sentence is never padded to a video. Buckets are served by start-time fair queueing on padded tokens
 * (Goyal, Vin and Cheng, SIGCOMM 1996): neither long nor short work can starve the other.
 */
export class FairQueue<Job extends Queued> {
  private readonly buckets = new Map<string, Bucket<Job>>();
  private virtualTime = 0;
  private jobCount = 0;

  /** Jobs that wait. */
  get length(): number {
    return this.jobCount;
  }

  add(job: Job): void {
    const key = bucketOf(job);
    const bucket = this.buckets.get(key) ?? { jobs: [], served: 0 };
    this.buckets.set(key, bucket);
    // An idle bucket earns no credit for the time it was empty.
    if (bucket.jobs.length === 0) bucket.served = Math.max(bucket.served, this.virtualTime);
    bucket.jobs.push(job);
    this.jobCount++;
  }

  /** Removes a waiting job. @returns false when it does not wait any more */
  remove(job: Job): boolean {
    const jobs = this.buckets.get(bucketOf(job))?.jobs;
    const position = jobs?.indexOf(job) ?? -1;
    if (position < 0) return false;
    jobs?.splice(position, 1);
    this.jobCount--;
    return true;
  }

  /**
   * The next batch, oldest jobs of its bucket first; empty when no job waits, or all wait for others.
   * @param nowMs by `performance.now()`; without it no job waits for others any longer
   */
  take(limits: BatchLimits, nowMs = Number.POSITIVE_INFINITY): Job[] {
    const bucket = this.nextBucket((jobs) => !waitsForOthers(jobs, limits, nowMs));
    if (bucket === undefined) return [];
    this.virtualTime = bucket.served;
    const jobs = bucket.jobs.splice(0, batchSize(bucket.jobs, limits));
    bucket.served += paddedTokens(jobs);
    this.jobCount -= jobs.length;
    return jobs;
  }

  /** Whether the next batch is full: waiting for more jobs does not make it larger. */
  hasFullBatch(limits: BatchLimits): boolean {
    const next = this.nextBucket(() => true);
    return next !== undefined && isFull(next.jobs, limits, limits.maxSize);
  }

  /** When the first of the jobs that wait for others has waited long enough; undefined when none does. */
  get patienceEndsMs(): number | undefined {
    const ends = [...this.buckets.values()].flatMap(({ jobs }) => jobs[0]?.waitsUntilMs ?? []);
    return ends.length === 0 ? undefined : Math.min(...ends);
  }

  private nextBucket(isReady: (jobs: readonly Job[]) => boolean): Bucket<Job> | undefined {
    let next: Bucket<Job> | undefined;
    for (const bucket of this.buckets.values()) {
      const { jobs, served } = bucket;
      if (jobs.length > 0 && (next === undefined || served < next.served) && isReady(jobs)) next = bucket;
    }
    return next;
  }
}

/** Whether all jobs of a bucket may wait, and there are too few. */
const waitsForOthers = (jobs: readonly Queued[], limits: BatchLimits, nowMs: number): boolean =>
  jobs.every(({ waitsUntilMs = 0 }) => waitsUntilMs > nowMs) &&
  !isFull(jobs, limits, Math.min(WORTHWHILE_SIZE, limits.maxSize));

/** Whether the first jobs make a batch of `size`, or more would not fit. */
function isFull(jobs: readonly Queued[], limits: BatchLimits, size: number): boolean {
  const fitting = batchSize(jobs, limits);
  return fitting >= size || fitting < jobs.length;
}

/** How many of the first jobs fit into one batch. */
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

/** Lengths within a factor of two, of the same kind (text, pixels, both), share a bucket. */
function bucketOf({ textLength, patchCount }: Queued): string {
  const rank = (length: number) => (length === 0 ? 0 : Math.ceil(Math.log2(Math.max(length, SHORTEST_BUCKET_TOKENS))));
  return `${rank(textLength)}/${rank(patchCount)}`;
}
