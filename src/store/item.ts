import type { Modality } from '../common/modality.js';

/** What an item was made from, part by part: few words as they are, all else as a file that is kept beside the index. */
export type Original = readonly OriginalPart[];
export type OriginalPart =
  | { text: string }
  | {
      /** SHA-256 of the content, in hex: the name of the file. */
      file: string;
      /** What it must be read as; without it the content decides. */
      as?: 'text' | 'image' | 'video';
    };

/** Anything JSON can hold; filters look at the top-level fields. */
export type Metadata = Record<string, unknown>;

/** A stored vector with what is known of it. */
export interface Item {
  id: string;
  modality: Modality;
  metadata: Metadata;
  /** Unit vector of the store's dimension. */
  vector: Float32Array;
  /** What it was made from, where that is kept. */
  original?: Original;
}

/** What reading without vectors gives. */
export type ItemInfo = Omit<Item, 'vector'>;
