import { mkdir, statfs } from 'node:fs/promises';
import path from 'node:path';
import { asBytes } from '../../lib/format-bytes.js';
import { mapConcurrent } from '../../lib/map-concurrent.js';
import { readLockFile, writeLockFile } from '../files/lockfile.js';
import { isPinned, type Pin } from '../files/pins.js';
import { type CheckedFile, checkFiles } from '../files/verify.js';
import type { HubManifest } from '../manifest.js';
import type { ByteProgress } from './download.js';
import type { Source } from './file-source.js';
import { begunBytes, type Expected } from './partial-file.js';

/** More connections at once do not make a line faster. */
const CONCURRENCY = 3;
/** What a disk should have left. */
const SPARE_BYTES = 64e6;

export interface PullTarget {
  model: HubManifest;
  /** Folder of the model's files. */
  dir: string;
  dtype: string;
}

export interface PullResult {
  /** Files that came, with their size. */
  fetched: { file: string; bytes: number }[];
  /** How many were there already, and right. */
  kept: number;
}

interface Wanted {
  file: string;
  expected: Expected;
}

/**
 * Brings the files a model needs in an arithmetic. What is there and right stays; a file takes its place when its
 * digest is that of the manifest, else that which the source told, which is locked from then on.
 *
 * @param sourceOf opens the source, once something is missing
 * @param progressOf told how many bytes will come
 * @throws Error for the first file that could not be had; the others are kept
 */
export async function pull(
  { model, dir, dtype }: PullTarget,
  sourceOf: (missing: readonly string[], lockedCommit: string | undefined) => Source,
  progressOf: (bytes: number) => ByteProgress,
): Promise<PullResult> {
  const checked = await checkFiles(model, dir, dtype);
  const missing = checked.filter(({ state }) => state !== 'right');
  const kept = checked.length - missing.length;
  if (missing.length === 0) return { fetched: [], kept };
  const lock = await readLockFile(dir, model.source.revision);
  const source = sourceOf(
    missing.map(({ file }) => file),
    lock.commit,
  );
  const wanted = await describe(missing, source);
  await requireSpace(dir, wanted);
  const progress = progressOf(wanted.reduce((sum, { expected }) => sum + expected.bytes, 0));
  const outcomes = await mapConcurrent(wanted, CONCURRENCY, async ({ file, expected }) => {
    const sha256 = await source.fetch(file, expected, path.join(dir, file), progress);
    return { file, pin: { bytes: expected.bytes, sha256 } };
  });
  const fetched = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
  await lockUnpinned(model, dir, fetched, source.commit);
  const failure = outcomes.find(({ status }) => status === 'rejected');
  if (failure?.status === 'rejected') throw failure.reason;
  return { fetched: fetched.map(({ file, pin }) => ({ file, bytes: pin.bytes })), kept };
}

async function describe(missing: readonly CheckedFile[], source: Source): Promise<Wanted[]> {
  const unknown = missing.filter(({ pin }) => pin === undefined).map(({ file }) => file);
  const told = await source.describe(unknown);
  return missing.map(({ file, pin }) => {
    const expected = pin ?? told.get(file);
    if (expected === undefined) throw new Error(`Nothing is known of ${file}.`);
    return { file, expected };
  });
}

async function requireSpace(dir: string, wanted: readonly Wanted[]): Promise<void> {
  await mkdir(dir, { recursive: true });
  const begun = await Promise.all(wanted.map(({ file, expected }) => begunBytes(path.join(dir, file), expected)));
  const rest = wanted.reduce((sum, { expected }, i) => sum + expected.bytes - (begun[i] ?? 0), SPARE_BYTES);
  const { bavail, bsize } = await statfs(dir);
  if (bavail * bsize >= rest) return;
  throw new Error(
    `The disk of ${dir} has ${asBytes(bavail * bsize)} free, and ${asBytes(rest)} are needed. Free space, or set MODELS_DIR.`,
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
  const lock = await readLockFile(dir, model.source.revision);
  const files = { ...lock.files, ...Object.fromEntries(unpinned.map(({ file, pin }) => [file, pin])) };
  await writeLockFile(dir, { ...lock, ...(commit === undefined ? {} : { commit }), files });
}
