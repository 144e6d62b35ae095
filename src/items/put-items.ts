import { Problem } from '../common/errors.js';
import type { Modality } from '../common/modality.js';
import type { Embedder, EmbedOptions } from '../embedding/embedder.js';
import { disposeParts, type InputPart } from '../inputs/part.js';
import { mapConcurrent } from '../lib/map-concurrent.js';
import type { BlobStore, KeptOriginal, Source } from '../store/originals/blob-store.js';
import type { Item, Metadata, VectorStore } from '../store/vector-store.js';

/** An item that is to be stored: what its vector is made from, or the vector. */
export type NewItem = { id: string; metadata: Metadata } & (
  | { parts: readonly InputPart[] }
  | { vector: Float32Array; modality: Modality }
);

export interface PutOptions extends EmbedOptions {
  /** Items embedded at a time. */
  together: number;
}

/** Where items are stored, as far as storing them needs it. */
export type ItemStore = Pick<VectorStore, 'upsert' | 'originals'>;

interface Prepared {
  item: Item;
  kept: KeptOriginal | undefined;
}

/**
 * Embeds and stores many items: those that can be stored share one write. An item that is wrong in itself
 * does not stop the others.
 *
 * @param open each gives an item; the uploads of its parts are taken over
 * @returns for each, in order, the item as it is stored, or the problem that is its own
 * @throws Problem that is no item's own: overload, a full disk, a client gone
 */
export async function putItems(
  { embedder, store }: { embedder: Embedder; store: ItemStore },
  open: readonly (() => Promise<NewItem>)[],
  { together, ...options }: PutOptions,
): Promise<(Item | Problem)[]> {
  const prepared = await mapConcurrent(open, together, async (openOne) =>
    prepare(await openOne(), embedder, store, options),
  );
  const ready = prepared.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
  let stored: (Item | Problem)[] = [];
  try {
    const whole = prepared.map(problemOf).find((problem) => problem !== undefined && !isOwn(problem));
    if (whole !== undefined) throw whole;
    stored = await upsertAll(ready, store, options);
  } finally {
    await Promise.all(ready.map(({ kept }, i) => (isItem(stored[i]) ? kept?.commit() : kept?.rollBack())));
  }
  const next = stored.values();
  return prepared.map(
    (outcome) => (problemOf(outcome) as Problem | undefined) ?? (next.next().value as Item | Problem),
  );
}

async function prepare(
  { id, metadata, ...from }: NewItem,
  embedder: Embedder,
  { originals }: ItemStore,
  options: EmbedOptions,
): Promise<Prepared> {
  if ('vector' in from) return { item: { id, metadata, ...from }, kept: undefined };
  const kept = await keep(from.parts, originals);
  try {
    const { vector, modality } = await embedder.embed(from.parts, options);
    const original = kept === undefined ? {} : { original: kept.original };
    return { item: { id, metadata, vector, modality, ...original }, kept };
  } catch (error) {
    await kept?.rollBack();
    throw error;
  }
}

/** Before the embedding, which gives the uploads back when it is done. */
async function keep(parts: readonly InputPart[], originals: BlobStore | undefined): Promise<KeptOriginal | undefined> {
  try {
    return await originals?.keep(parts.map(toSource));
  } catch (error) {
    await disposeParts(parts);
    throw error;
  }
}

function toSource(part: InputPart): Source {
  if ('text' in part) return part;
  const { upload, as } = part;
  return { sha256: upload.sha256, as, content: 'path' in upload ? upload : upload.bytes };
}

/** One write for all; where that is refused for one of them, a write each. */
async function upsertAll(
  ready: readonly Prepared[],
  store: ItemStore,
  { record }: EmbedOptions,
): Promise<(Item | Problem)[]> {
  const items = ready.map(({ item }) => item);
  const [first] = items;
  if (first === undefined) return [];
  const start = performance.now();
  try {
    await store.upsert(items);
    return items;
  } catch (error) {
    if (!isOwn(error)) throw error;
    return await upsertEach(items, store);
  } finally {
    record('store', first.modality, (performance.now() - start) / 1000);
  }
}

async function upsertEach(items: readonly Item[], store: ItemStore): Promise<(Item | Problem)[]> {
  const outcomes: (Item | Problem)[] = [];
  for (const item of items) {
    try {
      await store.upsert([item]);
      outcomes.push(item);
    } catch (error) {
      if (!isOwn(error)) throw error;
      outcomes.push(error);
    }
  }
  return outcomes;
}

const CLIENT_CLOSED = 499;

/** Whether an error is the fault of an input, and would come back with it. */
const isOwn = (error: unknown): error is Problem => error instanceof Problem && error.status < CLIENT_CLOSED;

const problemOf = (outcome: PromiseSettledResult<unknown>): unknown =>
  outcome.status === 'rejected' ? outcome.reason : undefined;

const isItem = (stored: Item | Problem | undefined): boolean => stored !== undefined && !(stored instanceof Problem);
