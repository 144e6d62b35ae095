import type { Static } from 'typebox';
import type { Embedded, EmbeddedMany, TextBody } from './embed.js';
import type { Health as HealthSchema } from './health.js';
import type { Input as InputSchema } from './input.js';
import type {
  DeleteBody,
  ItemBody,
  ItemPage as ItemPageSchema,
  ItemsBody,
  ListQuery,
  StoredItem,
  StoredItems,
} from './items.js';
import type { Results, RetrieveBody, WeightedTerm } from './retrieve.js';

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
