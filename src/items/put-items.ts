import { Problem } from '../common/errors.js';
import { toUnitVector } from '../common/vector.js';
import type { CallContext } from '../embedding/call-context.js';
import type { Embedder } from '../embedding/embedder.js';
import type { InputPart } from '../inputs/part.js';
import { mapConcurrent } from '../lib/async/map-concurrent.js';
import type { DecodedMedia } from '../media/decode.js';
import { differenceHash } from '../media/difference-hash.js';
import type { KeptOriginal, Source } from '../store/originals/blob-store.js';
import type { Item, Metadata, VectorStore } from '../store/vector-store.js';
import type { Thumbnails } from './files/thumbnails.js';
import type { ItemResolver, NewItem } from './new-item.js';

/** The model that embeds items, and the store that takes them. */
export interface PutTarget {
  embedder: Embedder;
  store: Pick<VectorStore, 'upsert' | 'originals'>;
  /** Length of the model's vectors. */
  dim: number;
}

export interface PutOptions {
  /** Opens what the items are made from. */
  resolver: ItemResolver;
  /** Items that are opened and embedded at the same time. */
  concurrency: number;
  /** Keeps small pictures of files that will not be there later. */
  thumbnails?: Thumbnails | undefined;
}

interface Prepared {
  item: Item;
  kept: KeptOriginal | undefined;
}

/**
 * Embeds and stores items: those that can be stored share one write. An item that is invalid in itself does not stop
 * the others.
 *
 * @returns for each item, in order, the item as it is stored, or its own problem
 * @throws Problem that belongs to no single item: overload, a full disk, a client that disconnected
 */
export async function putItems(
  target: PutTarget,
  items: readonly NewItem[],
  { resolver, concurrency, thumbnails }: PutOptions,
  context: CallContext,
): Promise<(Item | Problem)[]> {
  const prepared = await mapConcurrent(items, concurrency, (item) =>
    prepare(item, target, { resolver, thumbnails }, context),
  );
  const ready = prepared.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
  let stored: (Item | Problem)[] = [];
  try {
    for (const outcome of prepared)
      if (outcome.status === 'rejected' && !isOfItem(outcome.reason)) throw outcome.reason;
    stored = await upsertAll(ready, target, context);
  } finally {
    await Promise.all(ready.map(({ kept }, i) => (isItem(stored[i]) ? kept?.commit() : kept?.rollBack())));
  }
  const results = stored.values();
  return prepared.map((outcome) =>
    outcome.status === 'rejected' ? (outcome.reason as Problem) : (results.next().value as Item | Problem),
  );
}

async function prepare(
  newItem: NewItem,
  { embedder, store, dim }: PutTarget,
  { resolver, thumbnails }: Pick<PutOptions, 'resolver' | 'thumbnails'>,
  context: CallContext,
): Promise<Prepared> {
  const { id } = newItem;
  const content = await resolver.resolve(newItem);
  if ('embedding' in content) {
    const { embedding, modality, metadata } = content;
    return { item: { id, metadata, modality, vector: toUnitVector(embedding, dim) }, kept: undefined };
  }
  // What lies below a media root stays there, and is not copied.
  const isKept = !content.parts.some((part) => 'upload' in part && part.origin !== undefined);
  const kept = isKept ? await store.originals?.keep(content.parts.map(toSource)) : undefined;
  try {
    const seen: { media?: DecodedMedia } = {};
    const onDecoded = (media: DecodedMedia) => {
      seen.media = media;
    };
    const [upload] = uploadsOf(content.parts);
    const isPicture = resolver.describes && upload !== undefined && content.parts.length === 1;
    const isGone = isPicture && isKept && kept === undefined;
    const [{ vector, modality }] = await Promise.all([
      embedder.embed(content.parts, isPicture ? { ...context, onDecoded } : context),
      isGone ? thumbnails?.keep(upload) : undefined,
    ]);
    const { media } = seen;
    const original = kept === undefined ? {} : { original: kept.original };
    const described = await resolver.describe(newItem, media?.header);
    const metadata = media === undefined ? described : { ...lookOf(media), ...described };
    return { item: { id, metadata, modality, vector, ...original }, kept };
  } catch (error) {
    await kept?.rollBack();
    throw error;
  }
}

const uploadsOf = (parts: readonly InputPart[]) => parts.flatMap((part) => ('upload' in part ? [part.upload] : []));

/** What copies of a photo have in common. */
function lookOf({ modality, frames: [frame] }: DecodedMedia): Metadata {
  return modality === 'image' && frame !== undefined ? { perceptual_hash: differenceHash(frame) } : {};
}

function toSource(part: InputPart): Source {
  if ('text' in part) return part;
  const { upload, as } = part;
  return { sha256: upload.sha256, as, content: 'path' in upload ? upload : upload.bytes };
}

/** One write for all; when the store refuses it because of one of them, one write each. */
async function upsertAll(
  ready: readonly Prepared[],
  { store, embedder }: PutTarget,
  context: CallContext,
): Promise<(Item | Problem)[]> {
  const items = ready.map(({ item }) => item);
  const [first] = items;
  if (first === undefined) return [];
  const start = performance.now();
  try {
    await store.upsert(items);
    return items;
  } catch (error) {
    if (!isOfItem(error)) throw error;
    return await upsertEach(items, store);
  } finally {
    context.record('store', first.modality, (performance.now() - start) / 1000, embedder.model);
  }
}

async function upsertEach(items: readonly Item[], store: PutTarget['store']): Promise<(Item | Problem)[]> {
  const outcomes: (Item | Problem)[] = [];
  for (const item of items) {
    try {
      await store.upsert([item]);
      outcomes.push(item);
    } catch (error) {
      if (!isOfItem(error)) throw error;
      outcomes.push(error);
    }
  }
  return outcomes;
}

const isOfItem = (error: unknown): error is Problem => error instanceof Problem && error.isOfInput;

const isItem = (stored: Item | Problem | undefined): boolean => stored !== undefined && !(stored instanceof Problem);
