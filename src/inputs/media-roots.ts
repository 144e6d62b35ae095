import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { access, lstat, readdir, realpath, stat, symlink } from 'node:fs/promises';
import path from 'node:path';
import { invalidField, Problem } from '../common/errors.js';
import { listOf } from '../config.js';
import { errorCode, makeDir } from '../lib/fs.js';

/** A file below a root, open for reading. */
export interface RootFile {
  /** Its place on the disk, without links. */
  path: string;
  bytes: number;
  /** When it was last changed, in milliseconds since 1970. */
  modifiedMs: number;
}

const NAME = /^[A-Za-z0-9_-]+$/;
/** Such a name is the same in every encoding. */
const IS_ASCII = /^[\0-\x7f]*$/;

/**
 * The folders whose files may be named in requests instead of sent: `photos=/mnt/photos`. They are only read. What a
 * path leads to must lie below its root when all links are resolved; nothing else of the machine can be reached.
 */
export class MediaRoots {
  private constructor(
    /** Name -> folder, without links. */
    private readonly folders: ReadonlyMap<string, string>,
    /** Where links to files lie whose names are not UTF-8. */
    private readonly links: string,
  ) {}

  /**
   * @param links an empty folder
   * @throws Error that says what is wrong with the setting
   */
  static async open(setting: string, links: string): Promise<MediaRoots> {
    const folders = new Map<string, string>();
    for (const entry of listOf(setting)) {
      const [name = '', ...rest] = entry.split('=');
      const folder = rest.join('=');
      if (!NAME.test(name) || folder === '')
        throw new Error(`MEDIA_ROOTS has "${entry}"; write name=/folder, with letters, digits, - and _ in the name.`);
      if (folders.has(name)) throw new Error(`MEDIA_ROOTS names "${name}" twice.`);
      folders.set(name, await readable(name, folder));
    }
    return new MediaRoots(folders, links);
  }

  get names(): string[] {
    return [...this.folders.keys()];
  }

  /** The folder of a root. @throws Problem `not_found` */
  folderOf(name: string): string {
    const folder = this.folders.get(name);
    if (folder !== undefined) return folder;
    const known = this.names.length === 0 ? 'MEDIA_ROOTS names none' : `there are ${this.names.join(', ')}`;
    throw new Problem('not_found', `There is no media root "${name.slice(0, 40)}"; ${known}.`);
  }

  /**
   * Finds a file by `root/path/within`.
   * @param field of the path in the request, for errors
   * @throws Problem `invalid_request`, `not_found`, `forbidden`
   */
  async find(file: string, field: string): Promise<RootFile> {
    return await inspect(await this.within(file, field), file);
  }

  /**
   * Finds a folder: a root, or `root/path/within`.
   * @returns its place on the disk, without links
   * @throws Problem as `find`
   */
  async findFolder(folder: string, field: string): Promise<string> {
    const place = await this.within(folder, field);
    if (!(await stat(place)).isDirectory()) throw new Problem('not_found', `"${folder}" is not a folder.`);
    return place;
  }

  /** A link with a plain name to a file whose name is not UTF-8: programs are given names as text. */
  private async linkTo(place: Buffer): Promise<string> {
    const link = path.resolve(this.links, createHash('sha256').update(place).digest('hex'));
    await makeDir(this.links);
    await symlink(place, link).catch((error: unknown) => {
      if (errorCode(error) !== 'EEXIST') throw error;
    });
    return link;
  }

  /** The name of a folder of this machine that is a root or lies below one, as requests write it. */
  async nameOf(folder: string): Promise<string | undefined> {
    const real = await realpath(folder).catch(() => undefined);
    for (const [name, root] of this.folders) {
      if (real === root) return name;
      if (real?.startsWith(root + path.sep)) return [name, ...path.relative(root, real).split(path.sep)].join('/');
    }
    return undefined;
  }

  private async within(file: string, field: string): Promise<string> {
    const [name = '', ...parts] = file.split('/');
    if (file.includes('\0') || parts.some((part) => part === '' || part === '.' || part === '..'))
      throw invalidField(field, `${field} must be a path below a media root, such as "photos/2019/a.jpg".`);
    const root = this.folderOf(name);
    const found = await resolved(path.join(root, ...parts), file).catch(async (problem: unknown) => {
      if (IS_ASCII.test(file)) throw problem;
      const raw = await rawPlace(root, parts);
      if (raw === undefined) throw problem;
      return await realpath(raw, { encoding: 'buffer' });
    });
    if (!isWithin(root, found))
      throw new Problem('forbidden', `"${file}" leads out of the media root "${name}".`, { in: 'body' });
    return typeof found === 'string' ? found : await this.linkTo(found);
  }
}

/** Whether a place is a root, or lies below it. */
function isWithin(root: string, place: string | Buffer): boolean {
  const [folder, found] = [Buffer.from(root), Buffer.from(place)];
  const isBelow = found.subarray(0, folder.length).equals(folder) && found[folder.length] === path.sep.charCodeAt(0);
  return found.equals(folder) || isBelow;
}

/**
 * The place of a path of which some names are not UTF-8: `findFiles` gives those in Latin-1.
 * @returns undefined where there is no such file
 */
async function rawPlace(root: string, parts: readonly string[]): Promise<Buffer | undefined> {
  let place: Buffer = Buffer.from(root);
  for (const part of parts) {
    const names = [Buffer.from(part), ...(/^[\0-\xff]*$/.test(part) ? [Buffer.from(part, 'latin1')] : [])];
    const found = await firstThere(names.map((name) => Buffer.concat([place, Buffer.from(path.sep), name])));
    if (found === undefined) return undefined;
    place = found;
  }
  return place;
}

async function firstThere(places: readonly Buffer[]): Promise<Buffer | undefined> {
  for (const place of places)
    if (
      await lstat(place).then(
        () => true,
        () => false,
      )
    )
      return place;
  return undefined;
}

/** A root as it lies on the disk. @throws Error with the remedy */
async function readable(name: string, folder: string): Promise<string> {
  try {
    const real = await realpath(folder);
    await readdir(real);
    return real;
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new Error(`MEDIA_ROOTS: the folder ${folder} of "${name}" cannot be read (${code}).`, { cause });
  }
}

async function resolved(place: string, file: string): Promise<string> {
  try {
    return await realpath(place);
  } catch (cause) {
    throw unreadable(cause, file);
  }
}

/** Only regular files, and found out without opening them: a pipe or a device could hold its reader for ever. */
async function inspect(place: string, file: string): Promise<RootFile> {
  try {
    const info = await stat(place);
    if (!info.isFile()) throw new Problem('not_found', `"${file}" is not a file.`);
    await access(place, constants.R_OK);
    return { path: place, bytes: info.size, modifiedMs: info.mtimeMs };
  } catch (cause) {
    if (cause instanceof Problem) throw cause;
    throw unreadable(cause, file);
  }
}

function unreadable(cause: unknown, file: string): Problem {
  const { code } = cause as NodeJS.ErrnoException;
  const shown = JSON.stringify(file.slice(0, 200));
  if (code === 'EACCES' || code === 'EPERM')
    return new Problem('forbidden', `The service may not read ${shown}.`, {}, { cause });
  if (code === 'EIO') return new Problem('broken_media', `The disk cannot read ${shown}.`, {}, { cause });
  return new Problem('not_found', `There is no file ${shown}.`, {}, { cause });
}
