import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { Command } from 'commander';
import { pino } from 'pino';
import { type BackedUpIndex, Backups, backupFolder } from '../../backup/backups.js';
import { call } from '../../client/http.js';
import { loadConfig } from '../../config.js';
import { formatBytes } from '../../lib/format-bytes.js';
import { whileLocked } from '../../serving/data-dir.js';
import { bindingOf } from '../../store/faiss/index-swap.js';
import { openFaissStore } from '../../store/faiss/store.js';
import { connectionOf, namesService } from '../connection.js';

/** What the service answers, as far as it is printed. */
interface Made {
  name: string;
  files: number;
  bytes: number;
  removed: string[];
}

interface Options {
  keep?: number;
}

export const command = new Command('backup')
  .description('back up every index with its kept originals: through a running service with --url, else on its own')
  .argument('[name]', 'name of the folder in BACKUP_DIR (default: the time)')
  .option('--keep <number>', 'backups to keep, this one included; older ones are removed', Number)
  .addHelpText(
    'after',
    '\nA backup takes the place of DATA_DIR: copy its folder, or move it. "onespace verify" checks it.',
  )
  .action(async (name: string | undefined, options: Options, self: Command) => {
    if (options.keep !== undefined && !(Number.isInteger(options.keep) && options.keep >= 1))
      throw new Error('--keep must be an integer of at least 1.');
    console.log(namesService(self) ? await throughService(self, name, options) : await onItsOwn(name, options));
  });

async function throughService(self: Command, name: string | undefined, { keep }: Options): Promise<string> {
  const query = new URLSearchParams({
    ...(name === undefined ? {} : { name }),
    ...(keep === undefined ? {} : { keep: String(keep) }),
  });
  return describe(await call<Made>(connectionOf(self), 'POST', `/admin/snapshot?${query}`));
}

async function onItsOwn(name: string | undefined, { keep }: Options): Promise<string> {
  const config = loadConfig(process.env);
  return whileLocked(config.DATA_DIR, async () => {
    const indexes = await openIndexes(path.join(config.DATA_DIR, 'index'));
    try {
      const made = await new Backups(config).create(indexes, { name, keep });
      return `${describe(made)}\n${path.join(backupFolder(config), made.name)}`;
    } finally {
      for (const { store } of indexes) await store.close();
    }
  });
}

/** Opens every index below a folder, whichever model it is of. */
async function openIndexes(folder: string): Promise<BackedUpIndex[]> {
  const names = await readdir(folder).catch(() => []);
  const opened: BackedUpIndex[] = [];
  try {
    for (const index of names) {
      const dir = path.join(folder, index);
      const binding = await bindingOf(dir);
      if (binding === undefined) continue;
      opened.push({ index, store: await openFaissStore({ dir, binding, logger: pino({ level: 'error' }) }) });
    }
  } catch (error) {
    for (const { store } of opened) await store.close();
    throw error;
  }
  if (opened.length === 0) throw new Error('There is no index in DATA_DIR.');
  return opened;
}

function describe({ name, files, bytes, removed }: Made): string {
  const without = removed.length === 0 ? '' : `; removed ${removed.join(', ')}`;
  return `backup "${name}": ${files} files, ${formatBytes(bytes)}${without}`;
}
