import { open } from 'node:fs/promises';
import { Problem } from '../../common/errors.js';
import type { MediaRoots } from '../../inputs/media-roots.js';
import { type Detected, detect, HEAD_BYTES } from '../../media/detect-format.js';
import type { ItemInfo, VectorStore } from '../../store/vector-store.js';

/** The file that an item was made from. */
export interface ItemFile {
  /** Its place on the disk. */
  path: string;
  bytes: number;
  detected: Detected;
}

/**
 * Finds the file of an item: below its media root, or among the kept originals.
 * @throws Problem `not_found` where there is none, `forbidden` where the service may not read it
 */
export async function fileOf(
  item: ItemInfo,
  { originals }: Pick<VectorStore, 'originals'>,
  roots: MediaRoots,
): Promise<ItemFile> {
  const place = await placeOf(item, originals, roots);
  if (place === undefined) throw noFile(item.id);
  const handle = await open(place, 'r').catch((cause: unknown) => {
    throw noFile(item.id, cause);
  });
  try {
    const head = Buffer.alloc(HEAD_BYTES);
    const { bytesRead } = await handle.read(head, 0, HEAD_BYTES, 0);
    const detected = detect(head.subarray(0, bytesRead));
    // It is another file now: nothing is shown that could not have been stored.
    if (detected === undefined) throw noFile(item.id);
    return { path: place, bytes: (await handle.stat()).size, detected };
  } finally {
    await handle.close();
  }
}

async function placeOf(
  { metadata, original = [] }: ItemInfo,
  originals: VectorStore['originals'],
  roots: MediaRoots,
): Promise<string | undefined> {
  const [file, ...others] = original.flatMap((part) => ('file' in part ? [part.file] : []));
  if (file !== undefined && others.length === 0 && originals !== undefined) return originals.pathOf(file);
  return typeof metadata.path === 'string' ? (await roots.find(metadata.path, 'metadata.path')).path : undefined;
}

const noFile = (id: string, cause?: unknown): Problem =>
  new Problem(
    'not_found',
    `The service has no file of the item "${id}": it has those of media roots (MEDIA_ROOTS), and those it keeps (KEEP_ORIGINALS).`,
    { id },
    { cause },
  );
