import { lstatSync } from 'node:fs';
import { userInfo } from 'node:os';
import path from 'node:path';
import { Problem } from '../common/errors.js';

/** How Node words an error of the file system: `EACCES: permission denied, open '/data/index'`; writes name no file. */
const FILE_ERROR = /\b(EACCES|EPERM|EROFS|ENOTDIR|EEXIST|ENOSPC|EDQUOT|EFBIG|EIO|EMFILE|ENFILE): [^'\n]*(?:'([^']+)')?/;

/** Errors that are not about one file. */
const OF_THE_DISK: Record<string, string> = {
  ENOSPC: 'The disk is full. Free space.',
  EDQUOT: 'The quota of this user on the disk is used up. Free space.',
  EFBIG: 'A file would be larger than the disk, or the limit of this process, allows.',
  EIO: 'The disk has an error. Check it: the log of the system tells more.',
  EMFILE: 'This process has too many files open. Raise its limit (ulimit -n).',
  ENFILE: 'The machine has too many files open.',
};

/**
 * An error that says what to do about a file or a disk that refused a call: which file may not be used, whose it is, and
 * who this process is; any other error as it is. Found by its text, because errors from worker threads have lost
 * everything else.
 * @param setting the setting that says where the file is, where there is one
 */
export function explainFileError(error: unknown, setting?: string): unknown {
  const [text, code, file] = FILE_ERROR.exec(textOf(error)) ?? [];
  if (code === undefined) return error;
  const ofTheDisk = OF_THE_DISK[code];
  // A problem says it already, of its own part of the disk.
  if (ofTheDisk !== undefined)
    return error instanceof Problem ? error : new Error(`${ofTheDisk} (${text})`, { cause: error });
  // A command may be told to make what is there already; a folder of a setting is there, or is made.
  if (file === undefined || (setting === undefined && code === 'EEXIST')) return error;
  const otherwise = setting === undefined ? '' : ` Or set ${setting} to another folder.`;
  return new Error(`${reasonOf(code, path.resolve(file))}${otherwise}`, { cause: error });
}

/** The message of an error and of its causes. */
const textOf = (error: unknown): string =>
  error instanceof Error ? `${error.message}\n${textOf(error.cause)}` : String(error);

function reasonOf(code: string, file: string): string {
  if (code === 'EROFS') return `${file} cannot be written: its file system is read-only. Mount it writable.`;
  const found = nearest(file);
  if (code === 'ENOTDIR' || code === 'EEXIST') return `${found.file} is not a folder. Remove or rename it.`;
  const { uid, username } = userOf();
  const mode = (found.mode & 0o777).toString(8);
  return (
    `User ${uid} (${username}) may not use ${file}: ${found.file} belongs to user ${found.uid} and has mode ${mode}. ` +
    `Run "chown -R ${uid} ${found.file}" as root.`
  );
}

/** The file, or the nearest folder above it that can be seen. */
function nearest(file: string): { file: string; uid: number; mode: number } {
  try {
    const { uid, mode } = lstatSync(file);
    return { file, uid, mode };
  } catch (error) {
    if (file === path.dirname(file)) throw error;
    return nearest(path.dirname(file));
  }
}

/** A user of a container may have no name. */
function userOf(): { uid: number; username: string } {
  try {
    return userInfo();
  } catch {
    return { uid: process.getuid?.() ?? -1, username: 'without a name' };
  }
}
