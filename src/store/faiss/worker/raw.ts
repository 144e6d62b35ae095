import type { Modality } from '../../../common/modality.js';
import type { Place } from '../segment/collection.js';

/** An item on its way to another thread. Metadata travels as JSON text: whoever hands it out parses it, once. */
export interface RawItem {
  id: string;
  modality: Modality;
  metadata: string;
}

export const rawItem = (id: string, { shard, row }: Place): RawItem => ({
  id,
  modality: shard.modality,
  metadata: shard.metadata(row).toString(),
});
