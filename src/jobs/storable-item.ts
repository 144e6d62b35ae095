import type { JsonItem } from '../items/new-item.js';
import type { Metadata } from '../store/vector-store.js';

/** An item that is to be stored. */
export interface StorableItem {
  id: string;
  json: JsonItem;
  metadata?: Metadata | undefined;
}
