import { readFile } from 'node:fs/promises';
import { Problem } from '../common/errors.js';
import { MAX_SIDECAR_BYTES, sidecarNames } from '../media/facts/sidecar.js';
import { type FileMark, markOf } from './file-mark.js';
import type { MediaRoots } from './media-roots.js';
import type { FilesBeside } from './part.js';

/**
 * Reads the files beside a file of a media root that say more of it: XMP as programs for photographs write it, and the
 * JSON of Google Takeout. One that cannot be read is passed over.
 * @param file `root/path/within`
 * @param known those that there are, where that is known
 */
export async function readSidecars(roots: MediaRoots, file: string, known?: readonly FileMark[]): Promise<FilesBeside> {
  const start = file.lastIndexOf('/') + 1;
  const files: FileMark[] = [];
  const first = async (names: readonly string[]): Promise<Buffer | undefined> => {
    const paths = names.map((name) => file.slice(0, start) + name);
    for (const path of known === undefined ? paths : paths.filter((one) => known.some((mark) => mark.path === one))) {
      const found = await contentOf(roots, path);
      if (found === undefined) continue;
      files.push(found.mark);
      return found.content;
    }
    return undefined;
  };
  const names = sidecarNames(file.slice(start));
  const [xmp, takeout] = [await first(names.xmp), await first(names.takeout)];
  return {
    files,
    ...(xmp === undefined ? {} : { xmp }),
    ...(takeout === undefined ? {} : { takeout: takeout.toString('utf8') }),
  };
}

async function contentOf(roots: MediaRoots, path: string): Promise<{ content: Buffer; mark: FileMark } | undefined> {
  try {
    const file = await roots.find(path, 'body.path');
    if (file.bytes > MAX_SIDECAR_BYTES) return undefined;
    return { content: await readFile(file.path), mark: markOf({ ...file, path }) };
  } catch (error) {
    if (error instanceof Problem || 'code' in (error as object)) return undefined;
    throw error;
  }
}
