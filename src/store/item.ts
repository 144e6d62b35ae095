import type { Modality } from '../common/modality.js';

/** What an item was made from, part by part: short texts inline, everything else as a file kept beside the index. */
export type Original = readonly OriginalPart[];
export type OriginalPart =
  | { text: string }
  | {
      /** SHA-256 of the content, in hex, which is the name of the file. */
      file: string;
      /** What the content must be read as; without it the content decides. */
      as?: Modality;
    };

/** Any JSON object. Filters select by its top-level fields and, as dotted paths, by fields of nested objects. */
export type Metadata = Record<string, unknown>;

/** A stored vector and what belongs to it. */
export interface Item {
  id: string;
  modality: Modality;
  metadata: Metadata;
  /** Unit vector of the store's dimension. */
  vector: Float32Array;
  /** What the vector was made from, where that is kept. */
  original?: Original;
}

/** An item without its vector. */
export type ItemInfo = Omit<Item, 'vector'>;
