import type { Command } from 'commander';
import type { Connection } from '../client/index.js';
import { secretOf } from '../lib/secret.js';

/** The address in the environment, else that of a service on this machine. */
export const defaultUrl = (): string => process.env.ONESPACE_URL ?? `http://127.0.0.1:${process.env.PORT ?? 8000}`;

/** Whether --url was given, for commands that otherwise open DATA_DIR themselves; the environment alone does not count. */
export const namesService = (command: Command): boolean => command.getOptionValueSourceWithGlobals('url') === 'cli';

/** The service that a command calls: the option --url of the program, and the key in the environment. */
export const connectionOf = (command: Command): Connection => ({
  url: command.optsWithGlobals<{ url: string }>().url,
  apiKey: secretOf(process.env, 'ONESPACE_API_KEY'),
});
