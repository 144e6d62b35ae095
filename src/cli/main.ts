#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { Command, Option } from 'commander';
import { MODALITIES } from '../common/modality.js';
import type { ChromaImport } from './export-import.js';
import { indexFolder } from './index-folder.js';
import { listModels, pullModel, removeModel, verifyModels } from './models.js';
import type { ReindexChoice } from './reindex.js';
import { rolloutSteps, type Shares } from './rollout.js';
import { search } from './search.js';
import { provideNatives } from './set-up.js';
import { settingsTable, withSettingsTable } from './settings-table.js';

const url = () => process.env.ONESPACE_URL ?? `http://127.0.0.1:${process.env.PORT ?? 8000}`;

/** Loaded when it is needed: it brings the stores and all they stand on. */
const transfer = () => {
  provideNatives();
  return import('./export-import.js');
};

const { version } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};
const program = new Command('onespace')
  .description('Text, images and video in one vector space.')
  .version(version)
  .option('--url <url>', 'where the service runs (or ONESPACE_URL)', url());

const service = () => ({ url: program.opts<{ url: string }>().url, apiKey: process.env.ONESPACE_API_KEY });

program
  .command('serve')
  .description('start the service; its settings come from the environment')
  .action(async () => {
    provideNatives();
    await import('../main.js');
  });

program
  .command('index <folder>')
  .description('store every picture and clip of a folder')
  .action(async (folder: string) => {
    const { stored, refused } = await indexFolder(service(), folder);
    for (const { file, reason } of refused) console.error(`refused ${file}: ${reason}`);
    console.log(`${stored} stored, ${refused.length} refused`);
    if (refused.length > 0) process.exitCode = 1;
  });

program
  .command('search <text>')
  .description('find what is closest to a text')
  .option('-k, --top-k <number>', 'results wanted', Number, 5)
  .option('-m, --modality <modality>', 'text, image or video only')
  .action(async (text: string, options: { topK: number; modality?: string }) => {
    for (const line of await search(service(), text, options)) console.log(line);
  });

const rollout = program
  .command('rollout')
  .description('put another model in the place of the default one while the service goes on');
const print = (lines: readonly string[]) => console.log(lines.join('\n'));

rollout
  .command('start <model>')
  .description('load a candidate: a name under models/, or the path of a folder that the service sees')
  .option('--share <percent>', 'searches that the candidate answers', Number)
  .option('--shadow <percent>', 'others that it is given as well, to compare (100)', Number)
  .action(async (model: string, shares: Shares) => print(await rolloutSteps.start(service(), model, shares)));
rollout
  .command('share <percent>')
  .description('have the candidate answer so many of the searches')
  .option('--shadow <percent>', 'others that it is given as well, to compare', Number)
  .action(async (share: string, { shadow }: Shares) =>
    print(await rolloutSteps.share(service(), { share: Number(share), shadow })),
  );
for (const [step, description] of [
  ['promote', 'make the candidate the default model'],
  ['rollback', 'make the model before the promotion the default again'],
] as const) {
  rollout
    .command(step)
    .description(description)
    .option('--force', 'also when its index lacks items', false)
    .action(async ({ force }: { force: boolean }) => print(await rolloutSteps[step](service(), force)));
}
rollout
  .command('drop')
  .description('end the rollout: the model that is not the default goes')
  .action(async () => print(await rolloutSteps.drop(service())));
rollout
  .command('status')
  .description('where the rollout stands')
  .action(async () => print(await rolloutSteps.status(service())));

program
  .command('export <file>')
  .description('write everything stored as JSON Lines (stop a service with an embedded store first)')
  .action(async (file: string) => console.log(`${await (await transfer()).exportStore(file)} exported`));

program
  .command('import [file]')
  .description('store what an export wrote, or a Chroma collection (stop a service with an embedded store first)')
  .option('--chroma <url>', 'a Chroma server; its vectors must come from the very model of the settings')
  .option('--collection <name>', 'the collection to read there')
  .option('--tenant <name>', 'its tenant')
  .option('--database <name>', 'its database')
  .option('--modality-field <name>', 'metadata field that says text, image or video', 'modality')
  .addOption(new Option('--modality <name>', 'what items are where it does not').choices(MODALITIES).default('text'))
  .action(async (file: string | undefined, { chroma, ...from }: Omit<ChromaImport, 'url'> & { chroma?: string }) => {
    if ((file === undefined) === (chroma === undefined) || (chroma !== undefined && from.collection === undefined))
      throw new Error('Say what to import: a file, or --chroma with --collection.');
    const { importChroma, importStore } = await transfer();
    const imported = chroma === undefined ? importStore(file as string) : importChroma({ url: chroma, ...from });
    console.log(`${await imported} imported`);
  });

const models = program.command('models').description('the models there are, and their files');

models
  .command('list')
  .description('every model, and what of it is here')
  .action(async () => {
    for (const line of await listModels()) console.log(line);
  });

models
  .command('pull <name>')
  .description('bring the files of a model; what a cut connection left is continued')
  .option('--dtype <dtype>', 'the arithmetic they are for (default: the setting DTYPE)')
  .option('--from <folder>', 'copy them from a folder instead of the hub')
  .action(async (name: string, options: { dtype?: string; from?: string }) =>
    console.log(await pullModel(name, options)),
  );

models
  .command('verify [name]')
  .description('compare the files that are here with their digests')
  .action(async (name?: string) => {
    const { lines, isRight } = await verifyModels(name);
    for (const line of lines) console.log(line);
    if (!isRight) process.exitCode = 1;
  });

models
  .command('remove <name>')
  .description('delete the files of a model')
  .action(async (name: string) => console.log(await removeModel(name)));

program
  .command('reindex')
  .description(
    'embed what is stored again, with the model of the settings (stop the service first; see KEEP_ORIGINALS)',
  )
  .option('--from <model>', 'read the index of another model')
  .option('--leave-out', 'go on without items whose original was not kept')
  .action(async (choice: ReindexChoice) => {
    provideNatives();
    console.log(await (await import('./reindex.js')).reindex(choice));
  });

program
  .command('settings')
  .description('print every setting of the service as a table')
  .option('--write <file>', 'put the table into a Markdown file instead, between its markers')
  .action(async ({ write }: { write?: string }) => {
    if (write === undefined) console.log(settingsTable());
    else await writeFile(write, withSettingsTable(await readFile(write, 'utf8')));
  });

program.parseAsync().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
});
