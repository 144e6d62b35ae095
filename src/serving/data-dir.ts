import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { type DirectoryLock, lockDirectory } from '../lib/directory-lock.js';
import { errorCode, makeDir } from '../lib/fs.js';
import { excludeOldHolders } from '../store/faiss/old-lock.js';

/**
 * Locks DATA_DIR for this process. To be called before anything in it is read or changed: a second process must not
 * clear the uploads, or replace the state, of the first.
 * @throws Problem `conflict` when another process uses it
 */
export async function lockDataDir(dataDir: string): Promise<DirectoryLock> {
  const dir = path.resolve(dataDir);
  await makeDir(dir);
  const lock = await lockDirectory(dir);
  try {
    await Promise.all((await indexFolders(dir)).map(excludeOldHolders));
    return lock;
  } catch (error) {
    await lock.release();
    throw error;
  }
}

/** Runs a task that has DATA_DIR to itself. @throws Problem `conflict` when another process uses it */
export async function whileLocked<T>(dataDir: string, task: () => Promise<T>): Promise<T> {
  const lock = await lockDataDir(dataDir);
  try {
    return await task();
  } finally {
    await lock.release();
  }
}

/** The folders of the indexes in DATA_DIR, open or not. */
async function indexFolders(dataDir: string): Promise<string[]> {
  try {
    const entries = await readdir(path.join(dataDir, 'index'), { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map(({ name }) => path.join(dataDir, 'index', name));
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return [];
    throw error;
  }
}
