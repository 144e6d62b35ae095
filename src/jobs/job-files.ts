import { appendFile, open, readdir, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { errorCode, makeDir, writeFileAtomically } from '../lib/fs.js';
import { linesOf } from '../lib/lines.js';
import type { Logger } from '../lib/log/logger.js';
import { writeProblem } from '../store/disk-errors.js';
import { ENDED, type Job, type JobItem, noCounts, type RefusedFile } from './job.js';

const STATE = '.json';
const REFUSED = '.refused.jsonl';
const ITEMS = '.items.jsonl';
/** Jobs that are over and still listed. */
const KEPT = 100;

/** Jobs on the disk: a small file for each, replaced atomically, the items that were sent, and the list of what it refused. */
export class JobFiles {
  constructor(
    private readonly folder: string,
    private readonly logger: Logger,
  ) {}

  /** Every job, the oldest first. A file that cannot be read is reported and left where it is. */
  async readAll(): Promise<Job[]> {
    const names = await readdir(this.folder).catch(() => []);
    const jobs: Job[] = [];
    for (const name of names.filter((one) => one.endsWith(STATE)))
      try {
        const job = JSON.parse(await readFile(path.join(this.folder, name), 'utf8')) as Job;
        // Earlier versions counted less.
        jobs.push({ ...job, counts: { ...noCounts(), ...job.counts } });
      } catch (error) {
        this.logger.error({ err: error, file: name }, 'a job cannot be read');
      }
    return jobs.sort((a, b) => (a.created_at < b.created_at ? -1 : 1));
  }

  /** Resolves when the job is on the disk. @throws Problem `disk_full`, `store_unavailable` */
  async save(job: Job): Promise<void> {
    await this.write(async () => {
      await makeDir(this.folder);
      await writeFileAtomically(this.file(job.id, STATE), `${JSON.stringify(job)}\n`);
    });
  }

  /** Resolves when the items of a job are on the disk. @throws Problem as `save` */
  async saveItems(job: Job, items: readonly JobItem[]): Promise<void> {
    await this.write(async () => {
      await makeDir(this.folder);
      await writeFileAtomically(this.file(job.id, ITEMS), items.map((item) => `${JSON.stringify(item)}\n`).join(''));
    });
  }

  /** The items of a job, after the first `skip` of them. */
  items(job: Job, skip: number): AsyncGenerator<JobItem> {
    return this.lines<JobItem>(this.file(job.id, ITEMS), skip);
  }

  /** @throws Problem as `save` */
  async refuse(job: Job, refused: readonly RefusedFile[]): Promise<void> {
    if (refused.length === 0) return;
    const lines = refused.map((one) => `${JSON.stringify(one)}\n`).join('');
    await this.write(() => appendFile(this.file(job.id, REFUSED), lines));
  }

  private async write(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      throw writeProblem(error);
    }
  }

  /** Forgets what a job refused: it looks at every file again. */
  async forgetRefused(job: Job): Promise<void> {
    await rm(this.file(job.id, REFUSED), { force: true });
  }

  /** The files that a job refused, after the first `skip` of them. */
  async refused(job: Job, { skip, limit }: { skip: number; limit: number }): Promise<RefusedFile[]> {
    const found: RefusedFile[] = [];
    try {
      for await (const one of this.lines<RefusedFile>(this.file(job.id, REFUSED), skip)) {
        found.push(one);
        if (found.length === limit) break;
      }
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') throw error;
    }
    return found;
  }

  /** What the lines of a file say, after the first `skip` of them. */
  private async *lines<Value>(file: string, skip: number): AsyncGenerator<Value> {
    const handle = await open(file, 'r');
    try {
      let seen = 0;
      for await (const line of linesOf(handle.createReadStream({ autoClose: false })))
        if (seen++ >= skip) yield JSON.parse(line) as Value;
    } finally {
      await handle.close();
    }
  }

  /** Removes the oldest of the jobs that are over, where there are more than are kept. @returns those that stay */
  async trim(jobs: readonly Job[]): Promise<Job[]> {
    const over = jobs.filter(({ state }) => ENDED.includes(state));
    const removed = new Set(over.slice(0, Math.max(0, over.length - KEPT)));
    for (const { id } of removed)
      for (const suffix of [STATE, REFUSED, ITEMS]) await rm(this.file(id, suffix), { force: true });
    return jobs.filter((job) => !removed.has(job));
  }

  private file(id: string, suffix: string): string {
    return path.join(this.folder, id + suffix);
  }
}
