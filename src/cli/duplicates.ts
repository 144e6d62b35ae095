import { Command } from 'commander';
import { type DuplicateGroup, listDuplicates } from '../client/index.js';
import { connectionOf } from './connection.js';

export const command = new Command('duplicates')
  .description('print the images and videos that are stored more than once, with the one to keep; nothing is deleted')
  .option('--json', 'print a line of JSON for each group', false)
  .action(async ({ json }: { json: boolean }, self: Command) => {
    let groups = 0;
    let spare = 0;
    for await (const group of listDuplicates(connectionOf(self))) {
      groups += 1;
      spare += group.items.length - 1;
      if (json) console.log(JSON.stringify(group));
      else for (const line of linesOf(group)) console.log(line);
    }
    if (!json) console.log(`${groups} groups; ${spare} items could go`);
  });

function linesOf({ kind, keep, items }: DuplicateGroup): string[] {
  const others = items
    .filter(({ id }) => id !== keep)
    .map(({ id }) => `  ${kind === 'exact' ? 'same' : 'like'}  ${id}`);
  return [`keep    ${keep}`, ...others];
}
