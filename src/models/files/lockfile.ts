import { readFile, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { type Static, Type } from 'typebox';
import { Value } from 'typebox/value';
import { Pin } from './pins.js';

const NAME = 'model.lock.json';

/** What was fetched for the files that the manifest does not pin: from then on they must stay the same. */
const LockFile = Type.Object({
  /** The revision of the manifest they were fetched for; they say nothing about another one. */
  revision: Type.String(),
  /** The commit they come from; absent when they were copied from a folder. */
  commit: Type.Optional(Type.String()),
  files: Type.Record(Type.String(), Pin),
});
export type LockFile = Static<typeof LockFile>;

/**
 * What was fetched into `dir` for a revision of its model.
 * @throws Error when there is a file that cannot be read
 */
export async function readLockFile(dir: string, revision: string): Promise<LockFile> {
  const file = lockFileOf(dir);
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { revision, files: {} };
    throw error;
  }
  const lock = parse(text);
  if (!Value.Check(LockFile, lock)) throw new Error(`${file} is damaged. Delete it and pull the model again.`);
  return lock.revision === revision ? lock : { revision, files: {} };
}

export async function writeLockFile(dir: string, lock: LockFile): Promise<void> {
  const file = lockFileOf(dir);
  await writeFile(`${file}.tmp`, `${JSON.stringify(lock, null, 2)}\n`);
  await rename(`${file}.tmp`, file);
}

export const lockFileOf = (dir: string): string => path.join(dir, NAME);

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
