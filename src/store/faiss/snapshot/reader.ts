import { readFile } from 'node:fs/promises';
import { MODALITIES, type Modality } from '../../../common/modality.js';
import { assert } from '../../../lib/assert.js';
import { ReferenceCounts } from '../../originals/reference-counts.js';
import { FlatIndex } from '../ann/flat-index.js';
import { PayloadIndex } from '../query/payload-index.js';
import { openSnapshotRows, type SnapshotRows } from '../segment/snapshot-rows.js';
import { readVerified } from './checksummed-file.js';
import { snapshotLayout } from './layout.js';
import { decodeManifest, type SegmentManifest } from './manifest.js';
import { metadataOfLine, parseLine } from './metadata-line.js';

/** A segment as a snapshot holds it. */
export interface LoadedSegment {
  snapshotRows: SnapshotRows;
  ids: string[];
  payloadIndex: PayloadIndex;
  index: FlatIndex;
}

export interface LoadedSnapshot {
  /** Sequence number of the last write that is in it. */
  lastSequence: number;
  /** A modality that the snapshot does not have is absent. */
  segments: Partial<Record<Modality, LoadedSegment>>;
  references: ReferenceCounts;
}

/**
 * Reads a snapshot, verifying every byte.
 * @throws NewerFormatError when it holds what this version does not know
 * @throws Error when anything differs from what was written
 */
export async function loadSnapshot(dir: string, dim: number): Promise<LoadedSnapshot> {
  const manifest = decodeManifest(await readFile(snapshotLayout(dir).manifest, 'utf8'));
  assert(manifest.dim === dim, 'a snapshot of another dimension than its index');
  const segments: Partial<Record<Modality, LoadedSegment>> = {};
  const references = new ReferenceCounts();
  try {
    for (const modality of MODALITIES) {
      const held = manifest.shards[modality];
      if (held !== undefined) segments[modality] = await loadSegment(dir, modality, dim, held, references);
    }
  } catch (error) {
    for (const { snapshotRows } of Object.values(segments)) snapshotRows.close();
    throw error;
  }
  return { lastSequence: manifest.lastSequence, segments, references };
}

async function loadSegment(
  dir: string,
  modality: Modality,
  dim: number,
  manifest: SegmentManifest,
  references: ReferenceCounts,
): Promise<LoadedSegment> {
  const files = snapshotLayout(dir);
  const { ids, payloadIndex, lineStarts } = await readLines(files.lines(modality), manifest, references);
  await readVerified(files.vectors(modality), manifest.vectors);
  const index = FlatIndex.read(files.vectors(modality), dim, manifest.rows);
  return { snapshotRows: openSnapshotRows(dir, modality, dim, lineStarts), ids, payloadIndex, index };
}

async function readLines(
  file: string,
  { lines: checksum, rows }: SegmentManifest,
  references: ReferenceCounts,
): Promise<{ ids: string[]; payloadIndex: PayloadIndex; lineStarts: Float64Array }> {
  const ids: string[] = [];
  const payloadIndex = new PayloadIndex();
  const lineStarts = new Float64Array(rows + 1);
  let rest = Buffer.alloc(0);
  await readVerified(file, checksum, (chunk) => {
    const bytes = Buffer.concat([rest, chunk]);
    let from = 0;
    for (let end = bytes.indexOf(10); end !== -1; end = bytes.indexOf(10, from)) {
      assert(ids.length < rows, 'a snapshot with more lines than vectors');
      const line = bytes.subarray(from, end + 1);
      const { id, metadata } = parseLine(line);
      payloadIndex.set(ids.length, metadata);
      ids.push(id);
      references.add(metadataOfLine(line, id));
      lineStarts[ids.length] = (lineStarts[ids.length - 1] as number) + end + 1 - from;
      from = end + 1;
    }
    rest = bytes.subarray(from);
  });
  assert(ids.length === rows && rest.length === 0, 'a snapshot with another number of lines than of vectors');
  return { ids, payloadIndex, lineStarts };
}
