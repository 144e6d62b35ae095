import { constants } from 'node:fs';
import { type FileHandle, open, readFile, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { tryLock } from 'fs-native-extensions';
import { Problem } from '../common/errors.js';
import { errorCode } from './fs.js';

/** The name begins with `lock-` so that version 0.1.0 takes it for a lock of its own, and removes it instead of writing beside it. */
export const LOCK_FILE = 'lock-holder';
/** How long a process that was killed may take to end: the kernel frees its memory first, and its locks after that. */
const ATTEMPTS = 20;
const RETRY_MS = 100;
const NOT_WRITABLE = new Set(['EROFS', 'EACCES', 'EPERM']);

/** Who holds a lock. For messages alone: nothing is decided by it. */
interface Holder {
  pid: number;
  host: string;
  since: string;
}

export interface DirectoryLock {
  /**
   * Checks that the lock still excludes others; to be called before what another process must not do at the same time.
   * @throws Problem `store_unavailable`, from then on for ever, when the lock file was removed or the folder replaced:
   *   another process may have locked the file that is there now
   */
  assertHeld(): Promise<void>;
  release(): Promise<void>;
}

/**
 * Lets one process at a time use a folder, and one user within a process. The lock is the kernel's, on an open file
 * (an OFD lock), and ends with the process however that ends. The file stays: were it removed, two processes could
 * each lock a file of this name.
 *
 * @throws Problem `conflict` when the folder is in use
 * @throws Error when the folder cannot be written, or its file system cannot lock
 */
export async function lockDirectory(dir: string): Promise<DirectoryLock> {
  const file = path.join(dir, LOCK_FILE);
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    if (attempt > 1) await sleep(RETRY_MS);
    const handle = await openLockFile(file);
    try {
      // The file may have been removed between opening and locking it.
      if (acquire(handle, dir) && (await isAt(handle, file))) {
        await describeHolder(handle);
        return new HeldLock(handle, file);
      }
    } catch (error) {
      await handle.close();
      throw error;
    }
    await handle.close();
  }
  throw new Problem(
    'conflict',
    `The data folder is in use by another process (${await readHolder(file)}). Stop it, or give this one a DATA_DIR of its own.`,
  );
}

class HeldLock implements DirectoryLock {
  #isLost = false;

  constructor(
    private readonly handle: FileHandle,
    private readonly file: string,
  ) {}

  async assertHeld(): Promise<void> {
    this.#isLost ||= !(await isAt(this.handle, this.file));
    if (this.#isLost)
      throw new Problem(
        'store_unavailable',
        'The lock file of the data folder was removed, or the folder replaced, while the service was running: another process may use it now. Nothing more is written. Restart the service.',
      );
  }

  async release(): Promise<void> {
    // Nobody is to be named once the lock is free; a failure changes nothing else.
    await this.handle.truncate().catch(() => {});
    await this.handle.close();
  }
}

async function openLockFile(file: string): Promise<FileHandle> {
  try {
    return await open(file, constants.O_RDWR | constants.O_CREAT, 0o644);
  } catch (error) {
    const code = errorCode(error) ?? '';
    if (!NOT_WRITABLE.has(code)) throw error;
    const dir = path.dirname(file);
    throw new Error(`The folder ${dir} cannot be written (${code}). Give this user write access, or set DATA_DIR.`, {
      cause: error,
    });
  }
}

function acquire({ fd }: FileHandle, dir: string): boolean {
  try {
    return tryLock(fd);
  } catch (error) {
    throw new Error(
      `The file system of ${dir} cannot lock files (${errorCode(error)}), so nothing would keep a second process out. Put DATA_DIR on a local disk, or mount the share with locks.`,
      { cause: error },
    );
  }
}

/** Whether the open file is the one that its path names now. */
async function isAt(handle: FileHandle, file: string): Promise<boolean> {
  const [own, named] = await Promise.all([
    handle.stat({ bigint: true }),
    stat(file, { bigint: true }).catch((error: unknown) => {
      if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return undefined;
      throw error;
    }),
  ]);
  return own.nlink > 0n && own.ino === named?.ino && own.dev === named.dev;
}

/** A full disk is no reason to refuse: only the message would be poorer. */
async function describeHolder(handle: FileHandle): Promise<void> {
  const holder: Holder = { pid: process.pid, host: hostname(), since: new Date().toISOString() };
  try {
    await handle.truncate();
    await handle.write(`${JSON.stringify(holder)}\n`, 0);
  } catch {}
}

async function readHolder(file: string): Promise<string> {
  try {
    const { pid, host, since } = JSON.parse(await readFile(file, 'utf8')) as Holder;
    return `pid ${pid} on ${host}, since ${since}`;
  } catch {
    return 'which one is unknown';
  }
}
