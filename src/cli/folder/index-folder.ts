import { watch } from 'node:fs';
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { Command } from 'commander';
import type { Connection } from '../../client/index.js';
import { connectionOf } from '../connection.js';
import { jobFor, waitFor } from './by-job.js';
import { CAPTIONS, indexByUpload } from './by-upload.js';
import { countsOf, documentOf, type IndexReport, summaryOf } from './report.js';

interface Options {
  prune: boolean;
  all: boolean;
  dryRun: boolean;
  watch: boolean;
  detach: boolean;
  json: boolean;
}

/** After a change, others follow: a copy of many files is indexed once it has paused this long. */
const QUIET_MS = 2000;

export const command = new Command('index')
  .description(
    'store the images and videos of a folder and its subfolders; indexing again reads only what has changed. A folder that the service sees (MEDIA_ROOTS) is read by the service itself, any other is sent to it',
  )
  .argument(
    '<folder>',
    `the folder, or one file, or a media root of the service (photos/2019); metadata of files that are sent are read from ${CAPTIONS} in the folder, where there is one`,
  )
  .option('--prune', 'remove the items whose file is gone; of a folder that the service sees', false)
  .option('--all', 'store files again that have not changed, for the candidate of a rollout', false)
  .option('--dry-run', 'say what would be done, and do nothing', false)
  .option('--watch', 'go on, and index again when something in the folder changes', false)
  .option('--detach', 'do not wait for a folder that the service sees: print the id of its job', false)
  .option('--json', 'print the result as JSON', false)
  .action(async (folder: string, options: Options, self: Command) => {
    const to = connectionOf(self);
    await (options.watch ? watchAndIndex(to, folder, options) : index(to, folder, options));
  });

async function index(to: Connection, folder: string, options: Options): Promise<void> {
  const report = await run(to, folder, options);
  if (report === undefined) return;
  if (options.json) console.log(JSON.stringify(documentOf(report)));
  else {
    for (const { file, reason } of report.refused) console.error(`refused ${file}: ${reason}`);
    if (report.others.size > 0) console.error(`passed over files of other kinds: ${countsOf(report.others)}`);
    console.log(summaryOf(report, { isDryRun: options.dryRun }));
  }
  process.exitCode = report.refused.length > 0 ? 1 : 0;
}

/** @returns undefined where nobody waits for the result */
async function run(
  to: Connection,
  folder: string,
  { prune, all, dryRun, detach }: Options,
): Promise<IndexReport | undefined> {
  const local = await stat(folder).catch(() => undefined);
  const jobOptions = { prune, isForAll: all, isDryRun: dryRun };
  // One file is sent: a job is for a folder.
  const isForJob = local === undefined || (local.isDirectory() && isOfThisMachine(to));
  const asked = local === undefined ? folder : path.resolve(folder);
  const job = isForJob ? await jobFor(to, asked, jobOptions) : undefined;
  if (job !== undefined) {
    if (!detach) return await waitFor(to, job);
    console.log(job.id);
    return undefined;
  }
  if (local === undefined)
    throw new Error(`There is no folder ${folder}, here or among the media roots of the service.`);
  if (prune || detach) throw new Error('--prune and --detach need a folder that the service sees: see MEDIA_ROOTS.');
  return await indexByUpload(to, folder, { isForAll: all, isDryRun: dryRun });
}

/** Whether a path on this machine means the same to the service. */
const isOfThisMachine = ({ url }: Connection): boolean => /^(localhost|127\.|\[::1\])/.test(new URL(url).hostname);

/** Indexes, and again after each change, until the program is ended. @throws what the first run throws */
async function watchAndIndex(to: Connection, folder: string, options: Options): Promise<never> {
  const isHere = await stat(folder).then(
    (info) => info.isDirectory(),
    () => false,
  );
  if (!isHere) throw new Error(`--watch needs a folder of this machine; ${folder} is none.`);
  // Before the first run: what changes meanwhile is indexed by the next one.
  const changes = watch(folder, { recursive: true });
  let timer: NodeJS.Timeout | undefined;
  let running = index(to, folder, options);
  const again = () => {
    running = running
      .then(() => index(to, folder, options))
      // A service that is restarted answers again later.
      .catch((error: unknown) => console.error(error instanceof Error ? error.message : error));
  };
  return await new Promise((_, reject) => {
    changes.on('error', reject).on('change', () => {
      clearTimeout(timer);
      timer = setTimeout(again, QUIET_MS);
    });
    running.then(() => console.error(`watching ${folder}; Ctrl-C ends it`), reject);
  });
}
