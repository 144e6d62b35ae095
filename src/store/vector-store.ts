import type { Modality } from '../common/modality.js';
import type { Item, ItemInfo } from './item.js';
import type { Originals } from './originals/blob-store.js';

export type { Item, ItemInfo, Metadata, Original, OriginalPart } from './item.js';

export interface Hit extends ItemInfo {
  /** Inner product of two unit vectors, in [-1, 1]: higher is closer. */
  score: number;
}

export interface SearchOptions {
  /** Results wanted; fewer come back only when fewer match. */
  k: number;
  modality?: Modality;
  filter?: Filter;
}

/**
 * A metadata filter in the style of Chroma's `where`:
 * `{"colour": "red"}`, `{"year": {"$gte": 2020, "$lt": 2024}}`, `{"tag": {"$in": ["a", "b"]}}`,
 * `{"caption": {"$exists": true}}`, `{"$and": [...]}`, `{"$or": [...]}`, `{"$not": {...}}`.
 * Several fields in one object must all match.
 */
export type Filter = { readonly [fieldOrOperator: string]: unknown };

export interface Page {
  items: ItemInfo[];
  /** Give it to the next call to go on; absent on the last page. */
  nextCursor?: string;
}

export interface ListOptions {
  limit: number;
  cursor?: string;
  modality?: Modality;
  filter?: Filter;
}

export type Counts = Record<Modality, number>;

/** What an index belongs to: vectors of two models never meet. */
export interface ModelBinding {
  model: string;
  revision: string;
  dim: number;
}

/**
 * Vectors and metadata -> nearest neighbours. One contract, several drivers.
 * A promise of a write resolves when the write survives `kill -9`.
 */
export interface VectorStore {
  /** Adds items, or replaces those of the same id. Idempotent. */
  upsert(items: readonly Item[]): Promise<void>;
  get(id: string): Promise<Item | undefined>;
  /** @returns how many of the ids were there */
  delete(ids: readonly string[]): Promise<number>;
  deleteWhere(filter: Filter): Promise<number>;
  /** Ordered by id. */
  list(options: ListOptions): Promise<Page>;
  /** Best first; equal scores by id. Reads the latest acknowledged writes. */
  search(vector: Float32Array, options: SearchOptions): Promise<Hit[]>;
  count(): Promise<Counts>;
  /** Where originals are kept; absent where they are not. */
  readonly originals?: Originals | undefined;
  close(): Promise<void>;
}
