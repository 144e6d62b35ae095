import type { Modality } from '../common/modality.js';
import type { Item, ItemInfo } from './item.js';
import type { BlobStore } from './originals/blob-store.js';

export type { Item, ItemInfo, Metadata, Original, OriginalPart } from './item.js';

export interface Hit extends ItemInfo {
  /** Inner product of two unit vectors, in [-1, 1]: higher is closer. */
  score: number;
}

export interface SearchOptions {
  /** Number of results; fewer are returned only when fewer match. */
  k: number;
  modality?: Modality;
  filter?: Filter;
}

/**
 * A metadata filter in the style of Chroma's `where`:
 * `{"colour": "red"}`, `{"year": {"$gte": 2020, "$lt": 2024}}`, `{"tag": {"$in": ["a", "b"]}}`,
 * `{"$geo": {"south": 38, "west": -10, "north": 39, "east": -9}}`,
 * `{"caption": {"$exists": true}}`, `{"$and": [...]}`, `{"$or": [...]}`, `{"$not": {...}}`.
 * Several fields in one object must all match.
 */
export type Filter = { readonly [fieldOrOperator: string]: unknown };

export interface Page {
  items: ItemInfo[];
  /** Continues after this page; absent on the last one. */
  nextCursor?: string;
}

export interface ListOptions {
  limit: number;
  cursor?: string;
  modality?: Modality;
  filter?: Filter;
}

export type Counts = Record<Modality, number>;

/** A file of a backup: its path within it, with slashes, and how to tell that it is whole. */
export interface BackupFile {
  file: string;
  bytes: number;
  /** Absent for kept files, whose name is their SHA-256. */
  crc32?: number;
}

/** The model whose vectors an index holds; no index mixes the vectors of two models. */
export interface ModelBinding {
  model: string;
  revision: string;
  dim: number;
}

/**
 * Vectors and metadata -> nearest neighbours. One contract, several drivers; `test/store/store.contract.ts` runs
 * against each of them.
 *
 * A write is acknowledged, that is its promise resolves, when it survives `kill -9`. Every method rejects with a
 * Problem: `invalid_request`, `wrong_dimension` or `too_large` for arguments over the limits of `limits.ts`,
 * `store_unavailable`, `disk_full` or `overloaded` where the store cannot serve now, `shutting_down` after `close`.
 */
export interface VectorStore {
  /** Adds items, or replaces those of the same id. Idempotent. */
  upsert(items: readonly Item[]): Promise<void>;
  /** @returns undefined where there is no such item */
  get(id: string): Promise<Item | undefined>;
  /** @returns how many of the ids existed, each counted once */
  delete(ids: readonly string[]): Promise<number>;
  /** Deletes what matches a filter with at least one condition. @returns how many items */
  deleteWhere(filter: Filter): Promise<number>;
  /** Pages of items in order of id; a page may be shorter than `limit` and still not be the last. */
  list(options: ListOptions): Promise<Page>;
  /**
   * The `k` items nearest to a unit vector `[dim]`, best first; equal scores by id. Sees every write acknowledged
   * before the call.
   */
  search(vector: Float32Array, options: SearchOptions): Promise<Hit[]>;
  /** Resolves when the store can serve now; a store that is down rejects within seconds. */
  check(): Promise<void>;
  /** Items per modality. */
  count(): Promise<Counts>;
  /** Keeps the originals of new items; absent where none are kept. */
  readonly originals?: BlobStore | undefined;
  /**
   * Puts a copy of the index and of its kept files into a folder, durably, with every write acknowledged before the
   * call, while reads and writes continue; absent where the backend has backups of its own.
   */
  backUp?(to: string): Promise<BackupFile[]>;
  /** Writes a snapshot now, so that the next start need not replay the write-ahead log; absent without one. */
  snapshot?(): Promise<void>;
  /** Finishes the writes in progress; later calls are refused. */
  close(): Promise<void>;
}
