import { readFile } from 'node:fs/promises';
import type { FoundFile } from '../media/find-files.js';

/*
 * A Live Photo is a photo with a few seconds of film, which the telephone keeps in a file of their own.
 */

const PHOTO = /\.(heic|heif|jpe?g)$/i;
const CLIP = /\.(mov|mp4)$/i;
/** Three seconds of film have a few megabytes. */
const MAX_BYTES = 32e6;
/** The tag by which Apple's programs join the two. */
const TAG = 'com.apple.quicktime.content.identifier';

/**
 * Which files of a folder are the clips of Live Photos: those that have the name of a photo beside them, and the tag.
 * @param isKnown whether a photo and a clip are known to belong together, or not; undefined where that is to be looked up
 * @returns name of the photo -> its clip
 */
export async function liveClips(
  files: readonly FoundFile[],
  isKnown: (photo: FoundFile, clip: FoundFile) => boolean | undefined,
): Promise<Map<string, FoundFile>> {
  const photos = new Map(files.filter(({ name }) => PHOTO.test(name)).map((file) => [stemOf(file.name), file]));
  const pairs = new Map<string, FoundFile>();
  for (const clip of files) {
    const photo = CLIP.test(clip.name) ? photos.get(stemOf(clip.name)) : undefined;
    if (photo !== undefined && (isKnown(photo, clip) ?? (await hasTag(clip)))) pairs.set(photo.name, clip);
  }
  return pairs;
}

const stemOf = (name: string): string => name.slice(0, name.lastIndexOf('.')).toLowerCase();

async function hasTag({ path, bytes }: FoundFile): Promise<boolean> {
  if (bytes > MAX_BYTES) return false;
  // A file that cannot be read is told of as such when it is to be stored.
  return await readFile(path).then(
    (content) => content.includes(TAG),
    () => false,
  );
}
