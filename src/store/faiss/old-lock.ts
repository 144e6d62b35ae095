import { readdir, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Problem } from '../../common/errors.js';
import { errorCode } from '../../lib/fs.js';

/** Locks of version 0.1.0: files of this name, which their process touches every two seconds. */
const OLD_LOCK = /^lock-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
/** Two heartbeats, and one second for a busy machine. */
const WATCH_MS = 5_000;
const LOOK_MS = 250;

/**
 * Keeps out of an index folder that a process of version 0.1.0 has open, and removes what ended ones left. Whether a
 * file is touched tells them apart, whatever clocks and pids say: also in a copy of a folder that is in use. It is not
 * touched while its process is frozen; such a process is not noticed.
 *
 * @throws Problem `conflict` when the folder is in use
 */
export async function excludeOldHolders(dir: string): Promise<void> {
  const names = (await readdir(dir)).filter((name) => OLD_LOCK.test(name));
  await Promise.all(names.map((name) => excludeHolder(path.join(dir, name))));
}

async function excludeHolder(file: string): Promise<void> {
  const first = await touchedAt(file);
  for (let watchedMs = 0; watchedMs < WATCH_MS; watchedMs += LOOK_MS) {
    await sleep(LOOK_MS);
    const now = await touchedAt(file);
    if (now === undefined) return;
    if (now !== first)
      throw new Problem(
        'conflict',
        'The index is open in a process of onespace 0.1.0. Stop that one, then start this one again.',
      );
  }
  await rm(file, { force: true });
}

/** In nanoseconds; undefined when the file is gone. */
async function touchedAt(file: string): Promise<bigint | undefined> {
  try {
    return (await stat(file, { bigint: true })).mtimeNs;
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}
