import { setTimeout as sleep } from 'node:timers/promises';
import { type Connection, getJob, type Job, listRefusedFiles, ServiceError, startJob } from '../../client/index.js';
import { ProgressBar } from '../progress-bar.js';
import { emptyReport, type IndexReport } from './report.js';

export interface JobOptions {
  prune: boolean;
  isForAll: boolean;
  isDryRun: boolean;
}

const LOOK_MS = 500;

/**
 * Starts a job for a folder that the service sees.
 * @param folder a media root of the service or a folder below one, or the place of one on this machine
 * @returns undefined where the service does not see it
 */
export async function jobFor(
  to: Connection,
  folder: string,
  { prune, isForAll, isDryRun }: JobOptions,
): Promise<Job | undefined> {
  try {
    return await startJob(to, { folder, prune, all: isForAll, dry_run: isDryRun });
  } catch (error) {
    if (error instanceof ServiceError && [400, 403, 404].includes(error.problem.status)) return undefined;
    throw error;
  }
}

/** Waits for the end of a job, and shows how far it is. @throws Error when it failed or was cancelled */
export async function waitFor(to: Connection, { id }: Job): Promise<IndexReport> {
  let bar: ProgressBar | undefined;
  let shown = 0;
  for (;;) {
    const job = await getJob(to, id);
    const { found, unchanged, stored, updated, moved, removed, refused } = job.counts;
    const done = stored + updated + moved + refused;
    if (bar === undefined && done > 0) bar = new ProgressBar('indexing', found - unchanged);
    if (done > shown) bar?.advance(done - shown);
    shown = Math.max(shown, done);
    if (job.state === 'failed' || job.state === 'cancelled')
      throw new Error(`The job was ${job.state}${job.problem === undefined ? '' : `: ${job.problem}`}.`);
    if (job.state === 'done')
      return { ...emptyReport(), stored, unchanged, updated, moved, removed, refused: await listRefusedFiles(to, id) };
    await sleep(LOOK_MS);
  }
}
