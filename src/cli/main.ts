#!/usr/bin/env node
import '../lib/no-telemetry.js';
import { Command } from 'commander';
import { VERSION } from '../common/version.js';
import { explainFileError } from '../lib/file-errors.js';
import { defaultUrl } from './connection.js';
import { provideNatives } from './set-up.js';

/** Each command and its file, in the order of the help. */
const COMMANDS: Record<string, () => Promise<{ command: Command }>> = {
  serve: () => import('./serve.js'),
  index: () => import('./folder/index-folder.js'),
  duplicates: () => import('./duplicates.js'),
  jobs: () => import('./jobs.js'),
  search: () => import('./search.js'),
  export: () => import('./store/export.js'),
  import: () => import('./store/import.js'),
  backup: () => import('./store/backup.js'),
  verify: () => import('./store/verify.js'),
  reindex: () => import('./reindex.js'),
  models: () => import('./models.js'),
  rollout: () => import('./rollout.js'),
  settings: () => import('./settings.js'),
};

/** Commands that open a store or a model. */
const NEED_NATIVES: readonly string[] = ['serve', 'export', 'import', 'backup', 'reindex'];

const EXAMPLES = `
Environment:
  ONESPACE_URL      address of the service, instead of --url
  ONESPACE_API_KEY  API key, for a service that needs one

Examples:
  onespace index ~/Pictures
  onespace search "a bridge at night" --modality image --top-k 3
  onespace models pull siglip2-base-patch16-224 --dtype q8
  onespace help search
`;

/** The program with the commands that `args` may name; loading the others, and what they import, takes seconds. */
async function assemble(args: readonly string[]): Promise<Command> {
  const program = new Command('onespace')
    .description('Puts text, images and video in one vector space, and searches across them.')
    .version(VERSION, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help, or that of a command')
    .option('--url <url>', 'address of the service', defaultUrl())
    .addHelpText('after', EXAMPLES);
  const named = Object.keys(COMMANDS).filter((name) => args.includes(name));
  if (named.some((name) => NEED_NATIVES.includes(name))) provideNatives();
  for (const name of named.length === 0 ? Object.keys(COMMANDS) : named) {
    const load = COMMANDS[name] as () => Promise<{ command: Command }>;
    program.addCommand((await load()).command);
  }
  return program;
}

try {
  const program = await assemble(process.argv.slice(2));
  await program.parseAsync();
} catch (error) {
  const explained = explainFileError(error);
  console.error(explained instanceof Error ? explained.message : explained);
  process.exit(1);
}
