import { randomUUID } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { isDeepStrictEqual } from 'node:util';
import { Problem } from '../common/errors.js';
import type { Logger } from '../lib/log/logger.js';
import { type FolderJobParts, runFolder } from './folder-job.js';
import { runItems } from './items-job.js';
import { ENDED, type Job, type JobItem, type JobState, noCounts, type RefusedFile } from './job.js';
import type { JobFiles } from './job-files.js';
import type { JobHooks } from './store-items.js';

/** How often progress is written to the disk. */
const SAVE_MS = 2000;

/** Each of the files that are read at the same time waits at a few places. */
const MAX_LISTENERS = 100;
/** Each may have the items of a whole request on the disk. */
const MAX_WAITING = 100;

type FolderWish = { folder: string } & Pick<Job, 'prune' | 'all' | 'dry_run' | 'model'>;

/** Why a running job is interrupted, as the reason of its signal. */
class Interrupted extends Error {
  constructor(readonly state: JobState) {
    super(`the job was ${state}`);
  }
}

/**
 * Runs jobs one after the other, in the order in which they came. They are on the disk before they are acknowledged, and go
 * on after a restart.
 */
export class JobRunner {
  private jobs: Job[] = [];
  private running: { job: Job; interrupt: AbortController; ended: Promise<void> } | undefined;
  private isClosed = false;

  constructor(
    private readonly files: JobFiles,
    /** What a job of this model needs. */
    private readonly partsOf: (model: string | undefined) => FolderJobParts,
    private readonly logger: Logger,
  ) {}

  /** Reads the jobs of earlier runs, and goes on with those that are not over. */
  async start(): Promise<void> {
    this.jobs = await this.files.readAll();
    for (const job of this.jobs) if (job.state === 'running') job.state = 'queued';
    this.next();
  }

  /** Every job, the newest first. */
  get all(): readonly Job[] {
    return this.jobs.toReversed();
  }

  /** @throws Problem `not_found` */
  get(id: string): Job {
    const job = this.jobs.find((one) => one.id === id);
    if (job === undefined) throw new Problem('not_found', `There is no job "${id.slice(0, 40)}".`, { id });
    return job;
  }

  /**
   * A job for a folder; the one that waits for the same already, where there is one.
   * @throws Problem `disk_full`, `store_unavailable`: the job cannot be written to the disk; `overloaded`
   */
  async createForFolder(wanted: FolderWish): Promise<Job> {
    const same = this.waiting.find((job) => isDeepStrictEqual(wishOf(job), wishOf(wanted)));
    if (same !== undefined) return same;
    this.assertRoom();
    return await this.create(newJob(wanted));
  }

  /** A job that stores items which were sent. @throws Problem as `createForFolder` */
  async createForItems(items: readonly JobItem[], wanted: Pick<Job, 'model'>): Promise<Job> {
    const job = newJob({ ...wanted, items: items.length, prune: false, all: false, dry_run: false });
    job.counts.found = items.length;
    this.assertRoom();
    await this.files.saveItems(job, items);
    return this.create(job);
  }

  private get waiting(): Job[] {
    return this.jobs.filter(({ state }) => state === 'queued');
  }

  private assertRoom(): void {
    if (this.waiting.length < MAX_WAITING) return;
    throw new Problem('overloaded', `${MAX_WAITING} jobs are waiting already; try again when one has ended.`);
  }

  private async create(job: Job): Promise<Job> {
    await this.files.save(job);
    this.jobs.push(job);
    this.jobs = await this.files.trim(this.jobs);
    this.next();
    return job;
  }

  /** @throws Problem `not_found`, `conflict` when the job is over */
  pause(id: string): Promise<Job> {
    return this.change(id, 'paused');
  }

  /** Ends a job; what it has stored stays. @throws Problem as `pause` */
  cancel(id: string): Promise<Job> {
    return this.change(id, 'cancelled');
  }

  /** Goes on with a job that was paused. @throws Problem `not_found`, `conflict` when it was not */
  async resume(id: string): Promise<Job> {
    const job = this.get(id);
    if (job.state !== 'paused') throw new Problem('conflict', `The job is ${job.state}, not paused.`);
    job.state = 'queued';
    await this.files.save(job);
    this.next();
    return job;
  }

  refused(id: string, page: { skip: number; limit: number }): Promise<RefusedFile[]> {
    return this.files.refused(this.get(id), page);
  }

  /** Interrupts what runs; it goes on at the next start. */
  async close(): Promise<void> {
    this.isClosed = true;
    this.running?.interrupt.abort(new Interrupted('running'));
    await this.running?.ended;
  }

  private async change(id: string, state: 'paused' | 'cancelled'): Promise<Job> {
    const job = this.get(id);
    if (ENDED.includes(job.state)) throw new Problem('conflict', `The job is ${job.state}.`);
    if (this.running?.job === job) {
      this.running.interrupt.abort(new Interrupted(state));
      await this.running.ended;
      return job;
    }
    job.state = state;
    if (state === 'cancelled') job.ended_at = now();
    await this.files.save(job);
    return job;
  }

  private next(): void {
    if (this.running !== undefined || this.isClosed) return;
    const job = this.jobs.find(({ state }) => state === 'queued');
    if (job === undefined) return;
    const interrupt = new AbortController();
    // Every file that is read just then listens to this one signal; more would be listeners that nobody removes.
    setMaxListeners(MAX_LISTENERS, interrupt.signal);
    const ended = this.run(job, interrupt.signal).finally(() => {
      this.running = undefined;
      this.next();
    });
    this.running = { job, interrupt, ended };
  }

  private async run(job: Job, signal: AbortSignal): Promise<void> {
    Object.assign(job, { state: 'running', started_at: job.started_at ?? now() });
    delete job.problem;
    await this.persist(job);
    let savedMs = performance.now();
    const onProgress = async (_counts: unknown, problem?: string) => {
      if (problem === undefined) delete job.problem;
      else job.problem = problem;
      // What is done of a folder is told by the index; of items that were sent, by this.
      if (job.items === undefined && performance.now() - savedMs < SAVE_MS) return;
      savedMs = performance.now();
      await this.persist(job);
    };
    const onRefused = (refused: readonly RefusedFile[]) => this.files.refuse(job, refused);
    try {
      await this.work(job, { signal, onProgress, onRefused });
      job.state = 'done';
    } catch (error) {
      if (signal.reason instanceof Interrupted) job.state = signal.reason.state;
      else {
        job.state = 'failed';
        job.problem = error instanceof Problem ? error.detail : 'The service failed; its log has the details.';
        this.logger.error({ err: error, job: job.id }, 'a job failed');
      }
    }
    if (ENDED.includes(job.state)) job.ended_at = now();
    await this.persist(job);
  }

  private async work(job: Job, hooks: JobHooks): Promise<void> {
    const parts = this.partsOf(job.model);
    if (job.items !== undefined) {
      const done = job.counts.stored + job.counts.refused;
      return runItems(this.files.items(job, done), job.counts, parts, hooks);
    }
    // What a folder holds is counted anew.
    job.counts = noCounts();
    await this.files.forgetRefused(job);
    await runFolder(job, job.counts, parts, hooks);
  }

  /** Progress that cannot be written is lost at a restart, and nothing else. */
  private async persist(job: Job): Promise<void> {
    await this.files.save(job).catch((error: unknown) => {
      this.logger.warn({ err: error, job: job.id }, 'the progress of a job cannot be written to the disk');
    });
  }
}

const newJob = (wanted: Omit<Job, 'id' | 'state' | 'created_at' | 'counts'>): Job => ({
  id: randomUUID(),
  ...wanted,
  state: 'queued',
  created_at: now(),
  counts: noCounts(),
});

/** What two jobs for the same have in common. */
const wishOf = ({ folder, prune, all, dry_run, model }: Omit<FolderWish, 'folder'> & Pick<Job, 'folder'>) => [
  folder,
  prune,
  all,
  dry_run,
  model,
];

const now = (): string => new Date().toISOString();
