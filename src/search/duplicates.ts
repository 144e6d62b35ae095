import { mapConcurrent } from '../lib/async/map-concurrent.js';
import { hashDistance, isHash } from '../media/difference-hash.js';
import type { Item, ItemInfo, VectorStore } from '../store/vector-store.js';

/** Items that show the same. */
export interface DuplicateGroup {
  /** `exact`: files of the same content. `near`: the same picture in another size, format or compression. */
  kind: 'exact' | 'near';
  items: ItemInfo[];
  /** The id of the one that has most pixels, and of these most bytes. */
  keep: string;
}

export interface DuplicateOptions {
  /** Items to examine. */
  limit: number;
  cursor?: string | undefined;
  /** Lowest score of two that are near duplicates. */
  minScore: number;
}

export interface DuplicatePage {
  groups: DuplicateGroup[];
  /** Continues after this page; absent on the last one. */
  nextCursor?: string;
}

/** The store answers searches in batches of this many at most. */
const AT_ONCE = 32;
/** Neighbours that are compared with an item. */
const NEIGHBOURS = 20;
/** Bits in which the hashes of one picture may differ, of 64. */
const MAX_DISTANCE = 8;
/** Lowest score where there is nothing to compare but vectors. */
const VECTOR_ALONE = 0.985;

/**
 * The groups of images and videos that show the same, each listed where the first of its ids stands. What only looks
 * similar is no duplicate: the hashes of the pictures must agree as well.
 */
export async function findDuplicates(
  store: VectorStore,
  { limit, cursor, minScore }: DuplicateOptions,
): Promise<DuplicatePage> {
  const { items, nextCursor } = await store.list({ limit, ...(cursor === undefined ? {} : { cursor }) });
  const media = items.filter(({ modality }) => modality !== 'text');
  const outcomes = await mapConcurrent(media, AT_ONCE, ({ id }) => groupOf(id, store, minScore));
  const groups = outcomes.flatMap((outcome) => {
    if (outcome.status === 'rejected') throw outcome.reason;
    return outcome.value ?? [];
  });
  return { groups, ...(nextCursor === undefined ? {} : { nextCursor }) };
}

/** The group whose first item is this one. */
async function groupOf(id: string, store: VectorStore, minScore: number): Promise<DuplicateGroup | undefined> {
  const item = await store.get(id);
  if (item === undefined) return undefined;
  const hits = await store.search(item.vector, { k: NEIGHBOURS, modality: item.modality });
  const others = hits.filter((hit) => hit.id !== id && isDuplicate(item, hit, hit.score, minScore));
  if (others.length === 0 || others.some((other) => other.id < id)) return undefined;
  const items = [item, ...others].map(({ id, modality, metadata }) => ({ id, modality, metadata }));
  const kind = others.every((other) => hasSameContent(item, other)) ? 'exact' : 'near';
  return { kind, items, keep: best(items).id };
}

function isDuplicate(item: Item, other: ItemInfo, score: number, minScore: number): boolean {
  if (hasSameContent(item, other)) return true;
  const [a, b] = [item.metadata.perceptual_hash, other.metadata.perceptual_hash];
  if (!(isHash(a) && isHash(b))) return score >= Math.max(minScore, VECTOR_ALONE);
  return score >= minScore && hashDistance(a, b) <= MAX_DISTANCE;
}

const hasSameContent = ({ metadata: a }: ItemInfo, { metadata: b }: ItemInfo): boolean =>
  typeof a.content_hash === 'string' && a.content_hash === b.content_hash;

function best(items: readonly ItemInfo[]): ItemInfo {
  const size = ({ metadata }: ItemInfo) => Number(metadata.width ?? 0) * Number(metadata.height ?? 0);
  const bytes = ({ metadata }: ItemInfo) => Number(metadata.bytes ?? 0);
  return items.reduce((one, other) => ((size(other) - size(one) || bytes(other) - bytes(one)) > 0 ? other : one));
}
