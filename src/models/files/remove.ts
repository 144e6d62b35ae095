import { readdir, rm, rmdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { PART } from '../hub/partial-file.js';
import type { HubManifest } from '../manifest.js';
import { lockFileOf } from './lockfile.js';

/** Deletes what was fetched of a model, also what was only begun; its manifest stays. @returns the bytes freed */
export async function removeFiles({ files }: HubManifest, dir: string): Promise<number> {
  const names = Object.keys(files);
  const entries = await readdir(dir, { recursive: true });
  const isPart = (name: string) => name.endsWith(PART) && names.some((file) => name.startsWith(`${file}.`));
  const doomed = entries.filter((name) => names.includes(name) || isPart(name));
  let freed = 0;
  for (const name of doomed) {
    freed += (await stat(path.join(dir, name))).size;
    await rm(path.join(dir, name));
  }
  await rm(lockFileOf(dir), { force: true });
  // Folders that others put something into are not empty and stay.
  const folders = new Set(names.map((file) => path.dirname(file)).filter((folder) => folder !== '.'));
  for (const folder of folders) await rmdir(path.join(dir, folder)).catch(() => {});
  return freed;
}
