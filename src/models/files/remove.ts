import { readdir, rm, rmdir, stat } from 'node:fs/promises';
import path from 'node:path';
import type { HubManifest } from '../manifest.js';
import { lockfilePath } from './lockfile.js';
import { PARTIAL_SUFFIX } from './partial-file.js';

/** Deletes the downloaded files of a model, partial ones included; its manifest stays. @returns the bytes freed */
export async function removeFiles({ files }: HubManifest, dir: string): Promise<number> {
  const names = Object.keys(files);
  const entries = await readdir(dir, { recursive: true });
  const isPartial = (name: string) =>
    name.endsWith(PARTIAL_SUFFIX) && names.some((file) => name.startsWith(`${file}.`));
  const downloaded = entries.filter((name) => names.includes(name) || isPartial(name));
  let freed = 0;
  for (const name of downloaded) {
    freed += (await stat(path.join(dir, name))).size;
    await rm(path.join(dir, name));
  }
  await rm(lockfilePath(dir), { force: true });
  // A folder with other files in it is not empty, so rmdir fails and it stays.
  const folders = new Set(names.map((file) => path.dirname(file)).filter((folder) => folder !== '.'));
  for (const folder of folders) await rmdir(path.join(dir, folder)).catch(() => {});
  return freed;
}
