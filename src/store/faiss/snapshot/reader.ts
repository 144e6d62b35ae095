import { readFile } from 'node:fs/promises';
import { MODALITIES, type Modality } from '../../../common/modality.js';
import { assert } from '../../../lib/assert.js';
import { References } from '../../originals/reference-counts.js';
import { FlatIndex } from '../ann/flat-index.js';
import { Columns } from '../query/payload-index.js';
import { type BaseRows, openBase } from '../segment/snapshot-rows.js';
import { readSealed } from './checksummed-file.js';
import { snapshotLayout } from './layout.js';
import { type Manifest, openManifest } from './manifest.js';
import { metadataOfLine, parseLine } from './metadata-line.js';

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
