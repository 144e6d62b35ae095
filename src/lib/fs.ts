import { type FileHandle, open, rename } from 'node:fs/promises';
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

/** Replaces a small file so that a crash leaves either the old or the new one, whole. */
export async function writeFileAtomically(file: string, text: string): Promise<void> {
  const beside = `${file}.tmp`;
  const handle = await open(beside, 'w');
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(beside, file);
  await syncDir(path.dirname(file));
}

/** Writes all of a buffer: `write` may stop short, and only the next call tells why. */
export async function writeFully(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  let written = 0;
  while (written < bytes.byteLength) {
    const { bytesWritten } = await handle.write(bytes, written, bytes.byteLength - written, position + written);
    written += bytesWritten;
  }
}

/** Errors of a full disk, a full quota, or a file at the size the process may write. */
const FULL = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);

export const isDiskFull = (error: unknown): boolean => FULL.has(errorCode(error) ?? '');

export const errorCode = (error: unknown): string | undefined => (error as NodeJS.ErrnoException | null)?.code;
