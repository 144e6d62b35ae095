import { Command } from 'commander';
import { changeJob, type Job, listJobs, listRefusedFiles } from '../client/index.js';
import { connectionOf } from './connection.js';

export const command = new Command('jobs')
  .description(
    'list the jobs of the service, the newest first; or pause, resume or cancel one, or list what it refused',
  )
  .argument('[action]', 'pause, resume, cancel or refused')
  .argument('[id]', 'of the job')
  .action(async (action: string | undefined, id: string | undefined, _options: object, self: Command) => {
    const to = connectionOf(self);
    if (action === undefined) {
      for (const job of await listJobs(to)) console.log(lineOf(job));
      return;
    }
    if (id === undefined) throw new Error(`onespace jobs ${action} needs the id of a job.`);
    if (action === 'refused')
      for (const { file, reason } of await listRefusedFiles(to, id)) console.log(`${file}: ${reason}`);
    else if (action === 'pause' || action === 'resume' || action === 'cancel')
      console.log(lineOf(await changeJob(to, id, action)));
    else throw new Error(`"${action}" is no action; there are pause, resume, cancel and refused.`);
  });

function lineOf({ id, state, folder = 'items that were sent', counts, seconds_left: left, problem }: Job): string {
  const { found, unchanged, stored, updated, moved, removed, refused } = counts;
  const done = `${unchanged + stored + updated + moved + refused} of ${found} files, ${stored} stored, ${refused} refused`;
  const more = [
    ...Object.entries({ updated, moved, removed }).flatMap(([name, count]) => (count > 0 ? [`${count} ${name}`] : [])),
    ...(left === undefined ? [] : [`${left} s left`]),
    ...(problem === undefined ? [] : [problem]),
  ];
  return [`${id}  ${state.padEnd(9)}  ${folder}  ${done}`, ...more].join(', ');
}
