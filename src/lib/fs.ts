import { constants } from 'node:fs';
import { copyFile, type FileHandle, link, mkdir, open, rename } from 'node:fs/promises';
import path from 'node:path';

/** Makes names created, renamed or removed in a folder durable. */
export async function syncDir(dir: string): Promise<void> {
  const handle = await open(dir, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * Makes the names of a folder and of every folder above it durable: some of them may have been created by a process
 * that was killed before it synced them.
 */
export async function syncPath(dir: string): Promise<void> {
  const above = path.dirname(dir);
  if (above === dir) return;
  await syncDir(above).catch((error: unknown) => {
    // What this process may not even open was not created by it.
    if (!['EACCES', 'EPERM'].includes(errorCode(error) ?? '')) throw error;
  });
  await syncPath(above);
}

/** Creates a folder, and those above it that are missing, and makes the name of each durable. */
export async function makeDir(dir: string, mode?: number): Promise<void> {
  const first = await mkdir(dir, { recursive: true, ...(mode === undefined ? {} : { mode }) });
  if (first === undefined) return;
  for (let made = path.resolve(dir); made.length >= first.length; made = path.dirname(made))
    await syncDir(path.dirname(made));
}

/** Replaces a small file so that a crash leaves either the old or the new content, whole. */
export async function writeFileAtomically(file: string, text: string): Promise<void> {
  const temporary = `${file}.tmp`;
  const handle = await open(temporary, 'w');
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(temporary, file);
  await syncDir(path.dirname(file));
}

/**
 * Gives a durable file another name; copies it, durably, where the disk has no hard links or the name is on another
 * one. The caller syncs the folder.
 */
export async function linkOrCopy(from: string, to: string): Promise<void> {
  try {
    return await link(from, to);
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'EEXIST') throw error;
  }
  await copyFile(from, to, constants.COPYFILE_EXCL);
  const handle = await open(to, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Writes all of a buffer: one `write` may write less without an error, and only the next call throws it. */
export async function writeFully(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  let written = 0;
  while (written < bytes.byteLength) {
    const { bytesWritten } = await handle.write(bytes, written, bytes.byteLength - written, position + written);
    written += bytesWritten;
  }
}

/** Fills a buffer: one `read` may read less. @throws Error where the file ends before that */
export async function readFully(handle: FileHandle, buffer: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < buffer.byteLength; ) {
    const { bytesRead } = await handle.read(buffer, done, buffer.byteLength - done, position + done);
    if (bytesRead === 0) throw new Error(`a file that ends at byte ${position + done}`);
    done += bytesRead;
  }
}

/** Error codes of a full disk, a full quota, or a file at the size limit of the process. */
const FULL = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);

/** Whether an error of the file system says that there is no room. */
export const isDiskFull = (error: unknown): boolean => FULL.has(errorCode(error) ?? '');

/** The `code` of a system error, such as ENOENT; undefined for any other error. */
export const errorCode = (error: unknown): string | undefined => (error as NodeJS.ErrnoException | null)?.code;
