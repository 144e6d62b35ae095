import { type FileHandle, open, readdir, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { errorCode } from '../lib/fs.js';
import {
  type CacheFile,
  type DiskCacheOptions,
  FILE_HEADER,
  fileNumber,
  fingerprintOf,
  MAX_RECORD_BYTES,
  recordAt,
} from './disk-cache.js';

/** Read at a time: checked in about a millisecond, and longer than any record. */
const SCAN_BYTES = 2 * MAX_RECORD_BYTES;
/** Files of versions before 0.2.0, which kept the cache in LMDB. */
const LMDB_FILES = ['data.mdb', 'lock.mdb'];

/**
 * The files of the cache that an earlier process left, newest first. Every record is checked. A file ends where its
 * first damaged record begins, as after a crash; what is not a file of this version is deleted.
 * @throws the error of the file system when the folder cannot be listed
 */
export async function* openCacheFiles({ folder, logger }: DiskCacheOptions): AsyncGenerator<CacheFile> {
  const names = await readdir(folder).catch((error: unknown): string[] => {
    if (errorCode(error) === 'ENOENT') return [];
    throw error;
  });
  for (const name of LMDB_FILES.filter((name) => names.includes(name))) {
    const file = path.join(folder, name);
    await rm(file, { force: true });
    logger.info({ file }, 'removed the cache of an earlier version');
  }
  const numbered = names.map((name) => ({ file: path.join(folder, name), number: fileNumber(name) }));
  const ours = numbered.filter((one): one is { file: string; number: number } => one.number !== undefined);
  for (const { file, number } of ours.sort((a, b) => b.number - a.number)) {
    try {
      const { size } = await stat(file);
      const opened = await openCacheFile(file, number);
      const kept = opened?.bytes ?? 0;
      if (kept < size) logger.warn({ file, bytes: size - kept, kept }, 'cache on disk: threw away what is damaged');
      if (opened === undefined) await rm(file, { force: true });
      else yield opened;
    } catch (error) {
      logger.warn({ file, code: errorCode(error) }, 'a file of the cache on disk cannot be read');
    }
  }
}

/** @returns undefined for a file without a whole record of this version */
async function openCacheFile(file: string, number: number): Promise<CacheFile | undefined> {
  const { handle, isWritable } = await openForAppending(file);
  try {
    const opened = { number, file, handle, isWritable, bytes: FILE_HEADER.length, longest: 0, offsets: new Map() };
    if (await findRecords(opened)) {
      if (isWritable) await handle.truncate(opened.bytes);
      return opened;
    }
    await handle.close();
    return undefined;
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** On a disk that takes no writes the cache can still be read. */
async function openForAppending(file: string): Promise<{ handle: FileHandle; isWritable: boolean }> {
  try {
    return { handle: await open(file, 'r+'), isWritable: true };
  } catch {
    return { handle: await open(file, 'r'), isWritable: false };
  }
}

/** Notes where the records are, up to the first that is not whole. @returns whether there is any */
async function findRecords(file: CacheFile): Promise<boolean> {
  const buffer = Buffer.alloc(SCAN_BYTES);
  const header = await file.handle.read(buffer, 0, FILE_HEADER.length, 0);
  if (!buffer.subarray(0, header.bytesRead).equals(FILE_HEADER)) return false;
  for (let found = true; found; ) {
    const { bytesRead } = await file.handle.read(buffer, 0, SCAN_BYTES, file.bytes);
    found = false;
    const bytes = buffer.subarray(0, bytesRead);
    for (let at = 0, record = recordAt(bytes); record !== undefined; record = recordAt(bytes.subarray(at))) {
      file.offsets.set(fingerprintOf(record.key), file.bytes);
      file.longest = Math.max(file.longest, record.length);
      file.bytes += record.length;
      at += record.length;
      found = true;
    }
  }
  return file.longest > 0;
}
