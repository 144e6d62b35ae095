import type { Problem } from '../common/errors.js';
import type { CallContext } from '../embedding/call-context.js';
import type { NewItem } from '../items/new-item.js';
import type { PutOptions } from '../items/put-items.js';
import type { SearchRequest, SearchResult } from '../search/search.js';
import type { Filter, Item } from '../store/vector-store.js';
import type { ServedModel } from './served-model.js';

/** Which model should answer a search. */
export interface SearchTarget {
  /** The model that answers: the one that the request names, or else the default. */
  model: ServedModel;
  /** Whether the request names it. */
  isNamed: boolean;
  /** Searches with the same key are answered by the same model. */
  key: string;
}

export interface SearchReply {
  results: SearchResult[];
  /** The model that answered. */
  model: ServedModel;
}

/** Sends searches and writes to models: to the one that was asked, or where a rollout sends them. */
export interface Router {
  /** @throws Problem as `Search.search` */
  search(request: SearchRequest, target: SearchTarget, context: CallContext): Promise<SearchReply>;
  /** @returns for each item the item as it is stored, or its own problem @throws Problem as `putItems` */
  put(
    model: ServedModel,
    items: readonly NewItem[],
    options: PutOptions,
    context: CallContext,
  ): Promise<(Item | Problem)[]>;
  /** @returns how many of the ids were stored */
  delete(model: ServedModel, ids: readonly string[]): Promise<number>;
  /** @returns how many items the filter selected */
  deleteWhere(model: ServedModel, filter: Filter): Promise<number>;
}
