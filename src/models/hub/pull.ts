import { mkdir, statfs } from 'node:fs/promises';
import path from 'node:path';
import { mapConcurrent } from '../../lib/async/map-concurrent.js';
import { formatBytes } from '../../lib/format-bytes.js';
import { readLockfile, writeLockfile } from '../files/lockfile.js';
import { type ExpectedContent, partialBytes } from '../files/partial-file.js';
import { isPinned, type Pin } from '../files/pins.js';
import { type CheckedFile, checkFiles } from '../files/verify.js';
import type { HubManifest } from '../manifest.js';
import type { ByteProgress } from './download.js';
import type { FileSource } from './file-source.js';

/** More connections at once do not make a network faster. */
const CONCURRENCY = 3;
/** Bytes of the disk that stay free. */
const SPARE_BYTES = 64e6;

export interface PullTarget {
  model: HubManifest;
  /** Folder of the model's files. */
  dir: string;
  dtype: string;
}

export interface PullResult {
  /** Downloaded files, with their size. */
  fetched: { file: string; bytes: number }[];
  /** Number of files that were present and right before. */
  kept: number;
}

interface MissingFile {
  file: string;
  expected: ExpectedContent;
}

/**
 * Downloads the files that a model needs for a dtype. Files that are present and right stay. A downloaded file is
 * installed when its digest is that of the manifest; a file without one there must have the digest that the source
 * reports, which the lockfile then pins.
 *
 * @param sourceOf opens the source; called only when files are missing
 * @param progressOf receives the number of bytes to download
 * @throws Error for the first file that failed; the others are kept
 */
export async function pull(
  { model, dir, dtype }: PullTarget,
  sourceOf: (missing: readonly string[], lockedCommit: string | undefined) => FileSource,
  progressOf: (bytes: number) => ByteProgress,
): Promise<PullResult> {
  const checked = await checkFiles(model, dir, dtype);
  const missing = checked.filter(({ state }) => state !== 'right');
  const kept = checked.length - missing.length;
  if (missing.length === 0) return { fetched: [], kept };
  const lock = await readLockfile(dir, model.source.revision);
  const source = sourceOf(
    missing.map(({ file }) => file),
    lock.commit,
  );
  const files = await describe(missing, source);
  await requireSpace(dir, files);
  const progress = progressOf(files.reduce((sum, { expected }) => sum + expected.bytes, 0));
  const outcomes = await mapConcurrent(files, CONCURRENCY, async ({ file, expected }) => {
    const sha256 = await source.fetch(file, expected, path.join(dir, file), progress);
    return { file, pin: { bytes: expected.bytes, sha256 } };
  });
  const fetched = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
  // Files that succeeded stay, so they are locked even when another one failed.
  await lockUnpinned(model, dir, fetched, source.commit);
  const failure = outcomes.find(({ status }) => status === 'rejected');
  if (failure?.status === 'rejected') throw failure.reason;
  return { fetched: fetched.map(({ file, pin }) => ({ file, bytes: pin.bytes })), kept };
}

async function describe(missing: readonly CheckedFile[], source: FileSource): Promise<MissingFile[]> {
  const unpinned = missing.filter(({ pin }) => pin === undefined).map(({ file }) => file);
  const described = await source.describe(unpinned);
  return missing.map(({ file, pin }) => {
    const expected = pin ?? described.get(file);
    if (expected === undefined) throw new Error(`The source does not describe ${file}.`);
    return { file, expected };
  });
}

async function requireSpace(dir: string, files: readonly MissingFile[]): Promise<void> {
  await mkdir(dir, { recursive: true });
  const partial = await Promise.all(files.map(({ file, expected }) => partialBytes(path.join(dir, file), expected)));
  const needed = files.reduce((sum, { expected }, i) => sum + expected.bytes - (partial[i] ?? 0), SPARE_BYTES);
  const { bavail, bsize } = await statfs(dir);
  if (bavail * bsize >= needed) return;
  throw new Error(
    `The disk of ${dir} has ${formatBytes(bavail * bsize)} free, and ${formatBytes(needed)} are needed. Free space, or set MODELS_DIR.`,
  );
}

async function lockUnpinned(
  model: HubManifest,
  dir: string,
  fetched: readonly { file: string; pin: Pin }[],
  commit: string | undefined,
): Promise<void> {
  const unpinned = fetched.filter(({ file }) => !isPinned(model.files[file]));
  if (unpinned.length === 0) return;
  const lock = await readLockfile(dir, model.source.revision);
  const files = { ...lock.files, ...Object.fromEntries(unpinned.map(({ file, pin }) => [file, pin])) };
  await writeLockfile(dir, { ...lock, ...(commit === undefined ? {} : { commit }), files });
}
