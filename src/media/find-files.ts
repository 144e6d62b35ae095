import { constants } from 'node:fs';
import { access, readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { isSidecarName } from './facts/sidecar.js';
import { isMediaName } from './formats.js';

const NO_MEDIA = '.nomedia';

/** A file that the service may read, by its name. */
export interface FoundFile {
  /** As the file system has it: a name need not be UTF-8. */
  path: Buffer;
  /** Path within the folder, with slashes. */
  name: string;
  bytes: number;
  /** When it was last changed, in milliseconds since 1970. */
  modifiedMs: number;
}

/** What lies in a folder. */
export interface Found {
  /** Images and videos, by their names, in order. */
  files: FoundFile[];
  /** Files that may say more of those beside them, in no order. */
  sidecars: FoundFile[];
  /** What cannot be read, with the reason. */
  unreadable: { file: string; reason: string }[];
  /** How many files of other kinds there are, by extension. */
  others: Map<string, number>;
}

/**
 * Finds the images and videos of a folder and its subfolders, or the one file that is named. Links to files are
 * followed, links to folders are not: they may lead in circles. A subfolder with a file `.nomedia`, by which telephones
 * mark pictures that are nobody's photos, is passed over.
 */
export async function findFiles(root: string): Promise<Found> {
  const found: Found = { files: [], sidecars: [], unreadable: [], others: new Map() };
  const info = await stat(root);
  if (info.isDirectory()) await walk(Buffer.from(root), '', found);
  else
    found.files.push({
      path: Buffer.from(root),
      name: path.basename(root),
      bytes: info.size,
      modifiedMs: info.mtimeMs,
    });
  found.files.sort((a, b) => (a.name < b.name ? -1 : 1));
  return found;
}

async function walk(folder: Buffer, prefix: string, found: Found): Promise<void> {
  const entries = await readdir(folder, { withFileTypes: true, encoding: 'buffer' }).catch((error: unknown) => {
    found.unreadable.push({ file: prefix === '' ? folder.toString() : prefix, reason: reasonOf(error) });
    return [];
  });
  if (prefix !== '' && entries.some(({ name }) => String(name) === NO_MEDIA)) return;
  for (const entry of entries) {
    const bytes = entry.name as unknown as Buffer;
    const at = Buffer.concat([folder, Buffer.from(path.sep), bytes]);
    const name = prefix + decoded(bytes);
    if (entry.isDirectory()) await walk(at, `${name}/`, found);
    else if (entry.isFile() || entry.isSymbolicLink()) await add(at, name, found);
  }
}

async function add(at: Buffer, name: string, found: Found): Promise<void> {
  if (!isMediaName(name)) {
    const extension = path.extname(name).toLowerCase() || 'no extension';
    found.others.set(extension, (found.others.get(extension) ?? 0) + 1);
    // One that cannot be read says nothing, and that is all.
    if (isSidecarName(name))
      await inspect(at, name).then(
        (file) => found.sidecars.push(file),
        () => {},
      );
    return;
  }
  try {
    found.files.push(await inspect(at, name));
  } catch (error) {
    found.unreadable.push({ file: name, reason: reasonOf(error) });
  }
}

/** @throws the error of the disk */
async function inspect(at: Buffer, name: string): Promise<FoundFile> {
  const info = await stat(at);
  if (info.isDirectory()) throw new Error('a link to a folder; name that folder itself to index it');
  await access(at, constants.R_OK);
  return { path: at, name, bytes: info.size, modifiedMs: info.mtimeMs };
}

/** A name in UTF-8; older archives have Latin-1. */
function decoded(name: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(name);
  } catch {
    return name.toString('latin1');
  }
}

const REASONS: Record<string, string> = {
  EACCES: 'it may not be read by this user',
  EPERM: 'it may not be read by this user',
  ENOENT: 'it is a link to a file that is not there, or was removed',
  ELOOP: 'its links lead in a circle',
  EIO: 'the disk cannot read it',
  ENAMETOOLONG: 'its name is too long',
};

/** Why a file cannot be read, in words. */
export function reasonOf(error: unknown): string {
  const { code = '', message } = error as NodeJS.ErrnoException;
  return REASONS[code] ?? message;
}
