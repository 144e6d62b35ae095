import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { type Static, Type } from 'typebox';
import { Value } from 'typebox/value';
import { writeFileAtomically } from '../../lib/fs.js';
import { Pin } from './pins.js';

const NAME = 'model.lock.json';

/** Pins of the downloaded files that the manifest does not pin: they must not change afterwards. */
const Lockfile = Type.Object({
  /** Revision of the model's source; the pins hold for no other one. */
  revision: Type.String(),
  /** The commit that the files are of; absent when they were copied from a folder. */
  commit: Type.Optional(Type.String()),
  files: Type.Record(Type.String(), Pin),
});
export type Lockfile = Static<typeof Lockfile>;

/**
 * The lockfile in `dir` for a revision of the source; empty when there is none.
 * @throws Error when it cannot be read
 */
export async function readLockfile(dir: string, revision: string): Promise<Lockfile> {
  const file = lockfilePath(dir);
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { revision, files: {} };
    throw error;
  }
  const lock = parse(text);
  if (!Value.Check(Lockfile, lock)) throw new Error(`${file} is damaged. Delete it and pull the model again.`);
  return lock.revision === revision ? lock : { revision, files: {} };
}

export async function writeLockfile(dir: string, lock: Lockfile): Promise<void> {
  await writeFileAtomically(lockfilePath(dir), `${JSON.stringify(lock, null, 2)}\n`);
}

export const lockfilePath = (dir: string): string => path.join(dir, NAME);

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
