import { mkdir, open, readFile } from 'node:fs/promises';
import path from 'node:path';
import { isModality } from '../../common/modality.js';
import { linkOrCopy, syncDir } from '../../lib/fs.js';
import type { BackupFile } from '../vector-store.js';
import { type Checksum, checksumOf } from './snapshot/checksummed-file.js';
import { layout, snapshotLayout } from './snapshot/layout.js';
import { decodeManifest } from './snapshot/manifest.js';

/** What a copy consists of: a snapshot, 0 for none, and every log since that was complete before log `newestWal`. */
export interface CopiedGenerations {
  snapshot: number;
  newestWal: number;
}

/**
 * Puts a copy of an open index into a new folder, as hard links where the disk allows. What is linked is never written
 * again, by neither index: the copy continues in an empty log of its own. Approximate indexes are left out, because
 * they are built anew.
 * @returns its files, paths within `to`
 */
export async function copyIndex(
  dir: string,
  to: string,
  { snapshot, newestWal }: CopiedGenerations,
): Promise<BackupFile[]> {
  const [source, target] = [layout(dir), layout(to)];
  const files: BackupFile[] = [];
  const copy = async (from: string, file: string, known?: Checksum) => {
    await linkOrCopy(from, file);
    files.push({ file: path.relative(to, file).replaceAll(path.sep, '/'), ...(known ?? (await checksumOf(file))) });
  };
  await mkdir(to, { recursive: true });
  await copy(source.index, target.index);
  if (snapshot > 0) {
    const [held, made] = [snapshotLayout(source.snapshot(snapshot)), snapshotLayout(target.snapshot(snapshot))];
    await mkdir(target.snapshot(snapshot));
    await copy(held.manifest, made.manifest);
    const { shards } = decodeManifest(await readFile(made.manifest, 'utf8'));
    for (const [modality, segment] of Object.entries(shards)) {
      if (!isModality(modality)) continue;
      await copy(held.vectors(modality), made.vectors(modality), segment.vectors);
      await copy(held.lines(modality), made.lines(modality), segment.lines);
    }
    await syncDir(target.snapshot(snapshot));
  }
  for (let generation = snapshot; generation < newestWal; generation++)
    await copy(source.wal(generation), target.wal(generation));
  await (await open(target.wal(newestWal), 'wx')).close();
  files.push({ file: path.basename(target.wal(newestWal)), bytes: 0, crc32: 0 });
  await syncDir(to);
  return files;
}
