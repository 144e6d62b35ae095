import type { Static } from 'typebox';
import type { Embedded, EmbeddedMany, TextBody } from '../../../routes/embed.js';
import type { Health as HealthSchema } from '../../../routes/health.js';
import type { DeleteBody, ItemPage as ItemPageSchema, ListQuery } from '../../../routes/items.js';
import type { ItemBody, ItemsBody, StoredItems } from '../../../routes/put-items.js';
import type { Results, RetrieveBody, WeightedTerm } from '../../../routes/retrieve.js';
import type { StoredItem } from './common.js';
import type { Input as InputSchema } from './input.js';

/** What goes over the wire, as types: for clients, from the very schemas that the routes check. */

export type Input = Static<typeof InputSchema>;
export type Texts = Static<typeof TextBody>;
export type Embedding = Static<typeof Embedded>;
export type Embeddings = Static<typeof EmbeddedMany>;
/** What has a default may be left out. */
export type Query = Partial<Omit<Static<typeof RetrieveBody>, 'mix'>> & {
  mix?: Partial<Static<typeof WeightedTerm>>[];
};
export type Hits = Static<typeof Results>;
export type NewItem = Static<typeof ItemBody>;
export type NewItems = Static<typeof ItemsBody>;
export type Items = Static<typeof StoredItems>;
export type Deletion = Static<typeof DeleteBody>;
export type Item = Static<typeof StoredItem>;
export type ItemPage = Static<typeof ItemPageSchema>;
export type ItemListing = Partial<Static<typeof ListQuery>>;
export type Health = Static<typeof HealthSchema>;
