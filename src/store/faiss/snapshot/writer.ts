import { mkdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { forEachModality, MODALITIES, type Modality } from '../../../common/modality.js';
import { assert } from '../../../lib/assert.js';
import { syncDir, writeFileAtomically } from '../../../lib/fs.js';
import { flatHeader } from '../ann/faiss-flat-file.js';
import type { Rows } from '../segment/rows.js';
import { openSnapshotRows, type SnapshotRows } from '../segment/snapshot-rows.js';
import { type Checksum, ChecksummedFile } from './checksummed-file.js';
import { snapshotLayout } from './layout.js';
import { encodeManifest, type Manifest } from './manifest.js';
import { encodeLine } from './metadata-line.js';

/** A segment at one moment. Rows are only ever appended, so only the ids are a copy. */
export interface CapturedSegment {
  rows: Rows;
  ids: readonly (string | undefined)[];
}

/** A collection at one moment, which later writes do not change. */
export interface CapturedCollection {
  dim: number;
  /** Sequence number of the last write that is in it. */
  lastSequence: number;
  segments: Record<Modality, CapturedSegment>;
}

/** Rows written between two turns of the event loop. */
const RUN_ROWS = 256;

/**
 * Writes a snapshot to a temporary folder, and renames that when every byte is on the disk. Tombstones are left
 * out: the n-th row that is not deleted becomes row n.
 * @returns the rows of the snapshot, to serve from
 * @param fence rejects when this process is no longer the one that may write
 * @throws the error of the disk, or of `fence`; then nothing of the snapshot stays, or all of it, which the next start
 *   may use
 */
export async function writeSnapshot(
  dir: string,
  captured: CapturedCollection,
  fence: () => Promise<void>,
): Promise<Record<Modality, SnapshotRows>> {
  const temporary = `${dir}.tmp`;
  await rm(temporary, { recursive: true, force: true });
  try {
    await mkdir(temporary);
    const lineStarts = await writeSegments(temporary, captured);
    await syncDir(temporary);
    await fence();
    await rename(temporary, dir);
    await syncDir(path.dirname(dir));
    return openAll(dir, captured.dim, lineStarts);
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw error;
  }
}

function openAll(dir: string, dim: number, lineStarts: Record<Modality, Float64Array>): Record<Modality, SnapshotRows> {
  const opened: SnapshotRows[] = [];
  try {
    return forEachModality((modality) => {
      const rows = openSnapshotRows(dir, modality, dim, lineStarts[modality]);
      opened.push(rows);
      return rows;
    });
  } catch (error) {
    for (const rows of opened) rows.close();
    throw error;
  }
}

/** @returns where each line starts in the segments' metadata files */
async function writeSegments(
  dir: string,
  { dim, lastSequence, segments }: CapturedCollection,
): Promise<Record<Modality, Float64Array>> {
  const files = snapshotLayout(dir);
  const manifests: Manifest['shards'] = {};
  const lineStarts: Partial<Record<Modality, Float64Array>> = {};
  for (const modality of MODALITIES) {
    const segment = segments[modality];
    const live = segment.ids.reduce((count, id) => count + (id === undefined ? 0 : 1), 0);
    const vectors = await writeVectors(files.vectors(modality), segment, dim, live);
    const lines = await writeLines(files.lines(modality), segment, live);
    manifests[modality] = { rows: live, vectors, lines: lines.checksum };
    lineStarts[modality] = lines.starts;
  }
  const manifest: Manifest = { format: 1, dim, lastSequence, shards: manifests };
  await writeFileAtomically(files.manifest, encodeManifest(manifest));
  return lineStarts as Record<Modality, Float64Array>;
}

async function writeVectors(
  file: string,
  { rows, ids }: CapturedSegment,
  dim: number,
  live: number,
): Promise<Checksum> {
  const out = await ChecksummedFile.create(file);
  try {
    await out.write(flatHeader(dim, live));
    for (const { from, count } of runs(rows, ids.length)) {
      const bytes = rows.vectors(from, count);
      for (const { first, last } of stretches(ids, from, count))
        await out.write(bytes.subarray(4 * dim * (first - from), 4 * dim * (last - from)));
    }
    return await out.finish();
  } catch (error) {
    await out.abandon();
    throw error;
  }
}

async function writeLines(
  file: string,
  { rows, ids }: CapturedSegment,
  live: number,
): Promise<{ checksum: Checksum; starts: Float64Array }> {
  const out = await ChecksummedFile.create(file);
  const starts = new Float64Array(live + 1);
  let next = 0;
  const onLine = (bytes: number) => {
    starts[next + 1] = (starts[next] as number) + bytes;
    next += 1;
  };
  try {
    for (const { from, count } of runs(rows, ids.length))
      for (const { first, last } of stretches(ids, from, count))
        await out.write(linesOf(rows, ids, { first, last }, onLine));
    assert(next === live, 'a snapshot with another number of lines than of vectors');
    return { checksum: await out.finish(), starts };
  } catch (error) {
    await out.abandon();
    throw error;
  }
}

/** The lines of live rows: copied from the last snapshot where they are in it, else encoded. */
function linesOf(
  rows: Rows,
  ids: CapturedSegment['ids'],
  { first, last }: Stretch,
  onLine: (bytes: number) => void,
): Buffer {
  if (first < rows.snapshotCount) {
    const lines = rows.lines(first, last - first);
    for (let row = first; row < last; row++) onLine(lines.start(row + 1) - lines.start(row));
    return lines.bytes;
  }
  const parts: Uint8Array[] = [];
  for (let row = first; row < last; row++) {
    const id = ids[row] as string;
    const line = encodeLine(id, rows.metadata(row, id));
    onLine(line.reduce((sum, part) => sum + part.length, 0));
    parts.push(...line);
  }
  return Buffer.concat(parts);
}

/** Consecutive live rows, from `first` up to and without `last`. */
interface Stretch {
  first: number;
  last: number;
}

/** The unbroken stretches of live rows in a run. */
function* stretches(ids: CapturedSegment['ids'], from: number, count: number): Generator<Stretch> {
  for (let row = from; row < from + count; ) {
    const first = row;
    while (row < from + count && ids[row] !== undefined) row += 1;
    if (row > first) yield { first, last: row };
    else row += 1;
  }
}

/** Runs of rows; none spans the border between the last snapshot and the rows after it. */
function* runs(rows: Rows, until: number): Generator<{ from: number; count: number }> {
  for (let from = 0; from < until; ) {
    const border = from < rows.snapshotCount ? Math.min(rows.snapshotCount, until) : until;
    const count = Math.min(RUN_ROWS, border - from);
    yield { from, count };
    from += count;
  }
}
