import { readFile } from 'node:fs/promises';
import { Problem } from '../common/errors.js';
import { sidecarNames } from '../media/facts/sidecar.js';
import type { MediaRoots } from './media-roots.js';
import type { FilesBeside } from './part.js';

/** A file beside a photo says a few things of it; one that is larger is something else. */
const MAX_BYTES = 1e6;

/**
 * The files beside a file of a media root that say more of it: XMP as programs for photographs write it, and the JSON of
 * Google Takeout. One that cannot be read is passed over.
 * @param file `root/path/within`
 */
export async function filesBeside(roots: MediaRoots, file: string): Promise<FilesBeside> {
  const start = file.lastIndexOf('/') + 1;
  const names = sidecarNames(file.slice(start));
  const first = async (candidates: readonly string[]): Promise<Buffer | undefined> => {
    for (const name of candidates) {
      const content = await contentOf(roots, file.slice(0, start) + name);
      if (content !== undefined) return content;
    }
    return undefined;
  };
  const [xmp, takeout] = [await first(names.xmp), await first(names.takeout)];
  return {
    ...(xmp === undefined ? {} : { xmp }),
    ...(takeout === undefined ? {} : { takeout: takeout.toString('utf8') }),
  };
}

async function contentOf(roots: MediaRoots, file: string): Promise<Buffer | undefined> {
  try {
    const { path, bytes } = await roots.find(file, 'body.path');
    return bytes > MAX_BYTES ? undefined : await readFile(path);
  } catch (error) {
    if (error instanceof Problem || 'code' in (error as object)) return undefined;
    throw error;
  }
}
