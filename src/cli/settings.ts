import { readFile, writeFile } from 'node:fs/promises';
import { Command } from 'commander';
import { settingsTable, withSettingsTable } from './settings-table.js';

export const command = new Command('settings')
  .description('print every setting of the service as a Markdown table')
  .option('--write <file>', 'write the table into a Markdown file instead, between its markers')
  .action(async ({ write }: { write?: string }) => {
    if (write === undefined) console.log(settingsTable());
    else await writeFile(write, withSettingsTable(await readFile(write, 'utf8')));
  });
