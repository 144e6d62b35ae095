import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { isDeepStrictEqual } from 'node:util';
import { Problem } from '../common/errors.js';
import type { Embedder, EmbedOptions } from '../embedding/embedder.js';
import { disposeParts, type InputPart } from '../inputs/part.js';
import { receive } from '../media/upload.js';
import type { BlobStore } from '../store/originals/blob-store.js';
import { eachPage } from '../store/pages.js';
import type { ItemInfo, Original, OriginalPart, VectorStore } from '../store/vector-store.js';
import { type NewItem, putItems } from './put-items.js';

/** A store that keeps originals. */
export type KeepingStore = VectorStore & { readonly originals: BlobStore };

export interface ReindexOptions extends EmbedOptions {
  /** Items embedded at a time. */
  together: number;
  /** Folder for temporary files. */
  spoolFolder: string;
  /** Told of each item: embedded, or there from an earlier run. */
  onProgress: (outcome: { embedded: number; skipped: number }) => void;
}

/** Items that cannot be embedded again: how many, and the first of them with the reason. */
export class LeftOut {
  count = 0;
  readonly first: { id: string; reason: string }[] = [];

  add(id: string, reason: string): void {
    this.count += 1;
    if (this.first.length < SHOWN) this.first.push({ id, reason });
  }
}

const SHOWN = 10;
const PAGE_ITEMS = 100;

/** Items whose original was not kept, or is no longer there. */
export async function withoutOriginal(store: KeepingStore): Promise<LeftOut> {
  const leftOut = new LeftOut();
  for await (const items of eachPage(store, { limit: PAGE_ITEMS }))
    for (const { id, original } of items) {
      if (original === undefined) leftOut.add(id, 'no original was kept');
      else if (!(await store.originals.has(original))) leftOut.add(id, 'the file of its original is gone');
    }
  return leftOut;
}

/**
 * Embeds the originals of one store again, into another. It can be repeated after a crash: what is in the
 * other store already stays. Ids and metadata stay as they are.
 * @returns what could not be embedded
 */
export async function embedAgain(
  from: KeepingStore,
  to: { embedder: Embedder; store: KeepingStore },
  { onProgress, spoolFolder, ...options }: ReindexOptions,
): Promise<LeftOut> {
  const leftOut = new LeftOut();
  for await (const items of eachPage(from, { limit: PAGE_ITEMS })) {
    const wanted: ItemInfo[] = [];
    for (const item of items) if (!(await isThere(to.store, item))) wanted.push(item);
    const open = wanted.map((item) => () => openItem(item, from.originals, to.store.originals, spoolFolder));
    const outcomes = await putItems(to, open, options);
    outcomes.forEach((outcome, i) => {
      if (outcome instanceof Problem) leftOut.add((wanted[i] as ItemInfo).id, outcome.detail);
    });
    onProgress({ embedded: wanted.length, skipped: items.length - wanted.length });
  }
  await removeGone(from, to.store);
  return leftOut;
}

async function isThere(store: VectorStore, { id, metadata, original }: ItemInfo): Promise<boolean> {
  const found = await store.get(id);
  return found !== undefined && isDeepStrictEqual([found.metadata, found.original], [metadata, original]);
}

/** Between two runs the old index may have gone on serving. */
async function removeGone(from: VectorStore, to: VectorStore): Promise<void> {
  for await (const items of eachPage(to, { limit: PAGE_ITEMS })) {
    const gone: string[] = [];
    for (const { id } of items) if ((await from.get(id)) === undefined) gone.push(id);
    await to.delete(gone);
  }
}

async function openItem(
  { id, metadata, original }: ItemInfo,
  from: BlobStore,
  to: BlobStore,
  spoolFolder: string,
): Promise<NewItem> {
  if (original === undefined) throw new Problem('not_found', 'No original was kept.');
  // Files that are there already are not written again when the parts are kept.
  const linked = await to.copyFrom(original, from);
  try {
    return { id, metadata, parts: await openParts(original, from, spoolFolder) };
  } finally {
    await linked.commit();
  }
}

async function openParts(original: Original, from: BlobStore, spoolFolder: string): Promise<InputPart[]> {
  const parts: InputPart[] = [];
  try {
    for (const part of original) parts.push(await openPart(part, from, spoolFolder));
    return parts;
  } catch (error) {
    await disposeParts(parts);
    throw error;
  }
}

async function openPart(part: OriginalPart, from: BlobStore, folder: string): Promise<InputPart> {
  if ('text' in part) return part;
  const file = from.pathOf(part.file);
  if (part.as === 'text') return { text: await readFile(file, 'utf8') };
  const upload = await receive(createReadStream(file), { maxBytes: Number.MAX_SAFE_INTEGER, folder });
  if (upload.sha256 === part.file) return part.as === undefined ? { upload } : { upload, as: part.as };
  await upload.dispose();
  throw new Problem('broken_media', 'The file of its original is damaged.');
}
