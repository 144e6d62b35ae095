import { mkdir, readFile, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { crc32 } from 'node:zlib';
import { MODALITIES, type Modality } from '../../../common/modality.js';
import { assert } from '../../../lib/assert.js';
import { syncDir, writeFileAtomically } from '../../../lib/fs.js';
import { References } from '../../originals/reference-counts.js';
import { flatHeader } from '../ann/faiss-flat-file.js';
import { FlatIndex } from '../ann/flat-index.js';
import { Columns } from '../query/payload-index.js';
import type { Rows } from '../segment/rows.js';
import { BaseRows } from '../segment/snapshot-rows.js';
import { CheckedFile, readSealed, type Seal } from './checksummed-file.js';
import { snapshotLayout } from './layout.js';
import { encodeLine, metadataOfLine, parseLine } from './metadata-line.js';

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

interface Manifest {
  format: 1;
  dim: number;
  lastSequence: number;
  shards: Record<Modality, { rows: number; vectors: Seal; lines: Seal }>;
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

/** A shard as a snapshot holds it. */
export interface LoadedShard {
  base: BaseRows;
  ids: string[];
  columns: Columns;
  index: FlatIndex;
}

export interface Loaded {
  lastSequence: number;
  shards: Record<Modality, LoadedShard>;
  references: References;
}

/**
 * Reads a snapshot, verifying every byte.
 * @throws Error when anything is not as it was written
 */
export async function loadSnapshot(dir: string, dim: number): Promise<Loaded> {
  const manifest = openManifest(await readFile(snapshotLayout(dir).manifest, 'utf8'));
  assert(manifest.dim === dim, 'a snapshot of another dimension than its index');
  const shards: Partial<Record<Modality, LoadedShard>> = {};
  const references = new References();
  try {
    for (const modality of MODALITIES)
      shards[modality] = await loadShard(dir, modality, dim, manifest.shards[modality], references);
  } catch (error) {
    for (const shard of Object.values(shards)) shard.base.close();
    throw error;
  }
  return { lastSequence: manifest.lastSequence, shards: shards as Record<Modality, LoadedShard>, references };
}

async function loadShard(
  dir: string,
  modality: Modality,
  dim: number,
  sealed: Manifest['shards'][Modality],
  references: References,
): Promise<LoadedShard> {
  const files = snapshotLayout(dir);
  const { ids, columns, starts } = await readLines(files.lines(modality), sealed, references);
  await readSealed(files.vectors(modality), sealed.vectors);
  const index = FlatIndex.read(files.vectors(modality), dim, sealed.rows);
  return { base: openBase(dir, modality, dim, starts), ids, columns, index };
}

async function readLines(
  file: string,
  { lines: seal, rows }: Manifest['shards'][Modality],
  references: References,
): Promise<{ ids: string[]; columns: Columns; starts: Float64Array }> {
  const ids: string[] = [];
  const columns = new Columns();
  const starts = new Float64Array(rows + 1);
  let rest = Buffer.alloc(0);
  await readSealed(file, seal, (chunk) => {
    const bytes = Buffer.concat([rest, chunk]);
    let from = 0;
    for (let end = bytes.indexOf(10); end !== -1; end = bytes.indexOf(10, from)) {
      assert(ids.length < rows, 'a snapshot with more lines than vectors');
      const line = bytes.subarray(from, end + 1);
      const { id, metadata } = parseLine(line);
      columns.set(ids.length, metadata);
      ids.push(id);
      references.add(metadataOfLine(line, id));
      starts[ids.length] = (starts[ids.length - 1] as number) + end + 1 - from;
      from = end + 1;
    }
    rest = bytes.subarray(from);
  });
  assert(ids.length === rows && rest.length === 0, 'a snapshot with another number of lines than of vectors');
  return { ids, columns, starts };
}

const openBase = (dir: string, modality: Modality, dim: number, starts: Float64Array): BaseRows => {
  const files = snapshotLayout(dir);
  return new BaseRows({ vectors: files.vectors(modality), lines: files.lines(modality) }, dim, starts);
};

const sealManifest = (manifest: Manifest): string => {
  const text = JSON.stringify(manifest);
  return `${JSON.stringify({ crc32: crc32(text), manifest })}\n`;
};

function openManifest(text: string): Manifest {
  const { crc32: checksum, manifest } = JSON.parse(text) as { crc32: number; manifest: Manifest };
  assert(crc32(JSON.stringify(manifest)) === checksum, 'a manifest whose checksum does not match');
  assert(manifest.format === 1, `a snapshot of format ${manifest.format}, which this version does not read`);
  return manifest;
}

export function forEachModality<T>(make: (modality: Modality) => T): Record<Modality, T> {
  return Object.fromEntries(MODALITIES.map((modality) => [modality, make(modality)])) as Record<Modality, T>;
}
