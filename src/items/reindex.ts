import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { isDeepStrictEqual } from 'node:util';
import { Problem } from '../common/errors.js';
import type { InputPart } from '../inputs/part.js';
import { UploadScope } from '../inputs/upload-scope.js';
import { mapConcurrent } from '../lib/async/map-concurrent.js';
import { receive } from '../media/upload.js';
import type { BlobStore } from '../store/originals/blob-store.js';
import { eachPage } from '../store/pages.js';
import type { ItemInfo, OriginalPart, VectorStore } from '../store/vector-store.js';
import { ItemResolver, type NewItem } from './new-item.js';
import { type PutTarget, putItems } from './put-items.js';

/** A store that keeps originals. */
export type KeepingStore = VectorStore & { readonly originals: BlobStore };

export interface ReindexOptions {
  /** Items embedded at the same time. */
  concurrency: number;
  /** Folder for temporary files. */
  spoolFolder: string;
  /** Called after each page with the items embedded, and those that an earlier run had embedded. */
  onProgress: (outcome: { embedded: number; skipped: number }) => void;
}

/** Items that cannot be embedded again: their number, and the first of them with the reason. */
export class LeftOut {
  count = 0;
  readonly first: { id: string; reason: string }[] = [];

  add(id: string, reason: string): void {
    this.count += 1;
    if (this.first.length < LISTED) this.first.push({ id, reason });
  }
}

const LISTED = 10;
const PAGE_ITEMS = 100;
/** Files opened at the same time. */
const OPEN_FILES = 8;

/** Items whose original was not kept, or whose file is missing. */
export async function withoutOriginal(store: KeepingStore): Promise<LeftOut> {
  const leftOut = new LeftOut();
  for await (const items of eachPage(store, { limit: PAGE_ITEMS }))
    for (const { id, original } of items) {
      if (original === undefined) leftOut.add(id, 'no original was kept');
      else if (!(await store.originals.has(original))) leftOut.add(id, 'the file of its original is missing');
    }
  return leftOut;
}

/**
 * Embeds the originals of one store again, into another. It can be repeated after a crash: items that the other store
 * already has are skipped. Ids and metadata stay as they are.
 * @returns the items that could not be embedded
 */
export async function embedAgain(
  from: KeepingStore,
  to: PutTarget & { store: KeepingStore },
  { onProgress, spoolFolder, concurrency }: ReindexOptions,
): Promise<LeftOut> {
  const leftOut = new LeftOut();
  for await (const items of eachPage(from, { limit: PAGE_ITEMS })) {
    const missing: ItemInfo[] = [];
    for (const item of items) if (!(await isThere(to.store, item))) missing.push(item);
    const outcomes = await embedPage(missing, from.originals, to, { concurrency, spoolFolder });
    outcomes.forEach((outcome, i) => {
      if (outcome instanceof Problem) leftOut.add((missing[i] as ItemInfo).id, outcome.detail);
    });
    onProgress({ embedded: missing.length, skipped: items.length - missing.length });
  }
  await removeDeleted(from, to.store);
  return leftOut;
}

async function embedPage(
  items: readonly ItemInfo[],
  from: BlobStore,
  to: PutTarget & { store: KeepingStore },
  { concurrency, spoolFolder }: Omit<ReindexOptions, 'onProgress'>,
): Promise<(ItemInfo | Problem)[]> {
  const uploads = new UploadScope(Number.POSITIVE_INFINITY);
  try {
    const opened = await mapConcurrent(items, OPEN_FILES, (item) =>
      openItem(item, from, to.store.originals, uploads, spoolFolder),
    );
    const newItems = opened.map((outcome) => {
      if (outcome.status === 'rejected') throw outcome.reason;
      return outcome.value;
    });
    const context = { uploads, record: () => {} };
    return await putItems(to, newItems, { resolver: new ItemResolver(context), concurrency }, context);
  } finally {
    uploads.close();
  }
}

async function isThere(store: VectorStore, { id, metadata, original }: ItemInfo): Promise<boolean> {
  const found = await store.get(id);
  return found !== undefined && isDeepStrictEqual([found.metadata, found.original], [metadata, original]);
}

/** Deletes what was deleted from the old index between two runs. */
async function removeDeleted(from: VectorStore, to: VectorStore): Promise<void> {
  for await (const items of eachPage(to, { limit: PAGE_ITEMS })) {
    const deleted: string[] = [];
    for (const { id } of items) if ((await from.get(id)) === undefined) deleted.push(id);
    await to.delete(deleted);
  }
}

async function openItem(
  { id, metadata, original }: ItemInfo,
  from: BlobStore,
  to: BlobStore,
  uploads: UploadScope,
  spoolFolder: string,
): Promise<NewItem> {
  try {
    if (original === undefined) throw new Problem('not_found', 'No original was kept.');
    // Files that are there already are not written again when the parts are kept.
    const linked = await to.copyFrom(original, from);
    try {
      const parts: InputPart[] = [];
      for (const part of original) parts.push(await openPart(part, from, uploads, spoolFolder));
      return { id, metadata, parts };
    } finally {
      await linked.commit();
    }
  } catch (error) {
    if (error instanceof Problem) return { id, problem: error };
    throw error;
  }
}

async function openPart(part: OriginalPart, from: BlobStore, uploads: UploadScope, folder: string): Promise<InputPart> {
  if ('text' in part) return part;
  const file = from.pathOf(part.file);
  if (part.as === 'text') return { text: await readFile(file, 'utf8') };
  const [maxBytes, maxStoredBytes] = [Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER];
  const upload = uploads.add(await receive(createReadStream(file), { maxBytes, maxStoredBytes, folder }));
  if (upload.sha256 !== part.file) throw new Problem('broken_media', 'The file of its original is damaged.');
  return part.as === undefined ? { upload } : { upload, as: part.as };
}
