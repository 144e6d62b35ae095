import { mkdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { forEachModality, MODALITIES, type Modality } from '../../../common/modality.js';
import { assert } from '../../../lib/assert.js';
import { syncDir, writeFileAtomically } from '../../../lib/fs.js';
import { flatHeader } from '../ann/faiss-flat-file.js';
import type { Rows } from '../segment/rows.js';
import { type BaseRows, openBase } from '../segment/snapshot-rows.js';
import { CheckedFile, type Seal } from './checksummed-file.js';
import { snapshotLayout } from './layout.js';
import { type Manifest, sealManifest } from './manifest.js';
import { encodeLine } from './metadata-line.js';

/** A shard as it was at one moment. Rows are only appended, so only the ids needed copying. */
export interface FrozenShard {
  rows: Rows;
  ids: readonly (string | undefined)[];
}

export interface Frozen {
  dim: number;
  /** Of the last write that is in it. */
  lastSequence: number;
  shards: Record<Modality, FrozenShard>;
}

/** Rows handled between two turns of the event loop. */
const RUN_ROWS = 256;

/**
 * Writes a snapshot beside and renames it into place when every byte is on the disk.
 * Dead rows are left out: the n-th live row becomes row n.
 * @returns the bases to serve from in its place
 */
export async function writeSnapshot(dir: string, frozen: Frozen): Promise<Record<Modality, BaseRows>> {
  const beside = `${dir}.tmp`;
  await rm(beside, { recursive: true, force: true });
  try {
    await mkdir(beside);
    const starts = await writeShards(beside, frozen);
    await syncDir(beside);
    await rename(beside, dir);
    await syncDir(path.dirname(dir));
    return forEachModality((modality) => openBase(dir, modality, frozen.dim, starts[modality]));
  } catch (error) {
    await rm(beside, { recursive: true, force: true });
    throw error;
  }
}

async function writeShards(
  dir: string,
  { dim, lastSequence, shards }: Frozen,
): Promise<Record<Modality, Float64Array>> {
  const files = snapshotLayout(dir);
  const sealed: Partial<Manifest['shards']> = {};
  const starts: Partial<Record<Modality, Float64Array>> = {};
  for (const modality of MODALITIES) {
    const shard = shards[modality];
    const live = shard.ids.reduce((count, id) => count + (id === undefined ? 0 : 1), 0);
    const vectors = await writeVectors(files.vectors(modality), shard, dim, live);
    const lines = await writeLines(files.lines(modality), shard, live);
    sealed[modality] = { rows: live, vectors, lines: lines.seal };
    starts[modality] = lines.starts;
  }
  const manifest: Manifest = { format: 1, dim, lastSequence, shards: sealed as Manifest['shards'] };
  await writeFileAtomically(files.manifest, sealManifest(manifest));
  return starts as Record<Modality, Float64Array>;
}

async function writeVectors(file: string, { rows, ids }: FrozenShard, dim: number, live: number): Promise<Seal> {
  const out = await CheckedFile.create(file);
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
  { rows, ids }: FrozenShard,
  live: number,
): Promise<{ seal: Seal; starts: Float64Array }> {
  const out = await CheckedFile.create(file);
  const starts = new Float64Array(live + 1);
  let next = 0;
  const note = (bytes: number) => {
    starts[next + 1] = (starts[next] as number) + bytes;
    next += 1;
  };
  try {
    for (const { from, count } of runs(rows, ids.length))
      for (const { first, last } of stretches(ids, from, count)) await out.write(linesOf(rows, ids, first, last, note));
    assert(next === live, 'a snapshot with another number of lines than of vectors');
    return { seal: await out.finish(), starts };
  } catch (error) {
    await out.abandon();
    throw error;
  }
}

/** The lines of live rows: copied as they stand in the last snapshot, or made. */
function linesOf(
  rows: Rows,
  ids: FrozenShard['ids'],
  first: number,
  last: number,
  note: (bytes: number) => void,
): Buffer {
  if (first < rows.baseCount) {
    const lines = rows.lines(first, last - first);
    for (let row = first; row < last; row++) note(lines.start(row + 1) - lines.start(row));
    return lines.bytes;
  }
  const parts: Uint8Array[] = [];
  for (let row = first; row < last; row++) {
    const id = ids[row] as string;
    const line = encodeLine(id, rows.metadata(row, id));
    note(line.reduce((sum, part) => sum + part.length, 0));
    parts.push(...line);
  }
  return Buffer.concat(parts);
}

/** The unbroken stretches of live rows in a run. */
function* stretches(ids: FrozenShard['ids'], from: number, count: number): Generator<{ first: number; last: number }> {
  for (let row = from; row < from + count; ) {
    const first = row;
    while (row < from + count && ids[row] !== undefined) row += 1;
    if (row > first) yield { first, last: row };
    else row += 1;
  }
}

/** Runs of rows; none spans the border between the last snapshot and what came after. */
function* runs(rows: Rows, until: number): Generator<{ from: number; count: number }> {
  for (let from = 0; from < until; ) {
    const border = from < rows.baseCount ? Math.min(rows.baseCount, until) : until;
    const count = Math.min(RUN_ROWS, border - from);
    yield { from, count };
    from += count;
  }
}
