import { lstatSync } from 'node:fs';
import { userInfo } from 'node:os';
import path from 'node:path';

/** How Node words an error of the file system: `EACCES: permission denied, open '/data/index'`. */
const FILE_ERROR = /\b(EACCES|EPERM|EROFS|ENOTDIR|EEXIST): [^']*'([^']+)'/;

/**
 * An error that says which file may not be used, whose it is, and who this process is; any other error as it is. Found
 * by its text, because errors from worker threads have lost everything else.
 * @param setting the setting that says where the file is
 */
export function explainFileError(error: unknown, setting: string): unknown {
  const [, code, file] = FILE_ERROR.exec(textOf(error)) ?? [];
  if (code === undefined || file === undefined) return error;
  return new Error(`${reasonOf(code, path.resolve(file))} Or set ${setting} to another folder.`, { cause: error });
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
