import type { Problem } from '../common/errors.js';
import { type NewItem, type PutOptions, putItems } from '../items/put-items.js';
import type { ServedModel } from '../serving/served-model.js';
import type { Filter, Item } from '../store/vector-store.js';
import type { Rollout } from './rollout.js';

/** Changes what is stored: in the index of the model that a caller chose, and in the one that has to follow it. */
export class Writes {
  constructor(private readonly rollout: Rollout) {}

  /** As `putItems`. */
  put(model: ServedModel, open: readonly (() => Promise<NewItem>)[], options: PutOptions): Promise<(Item | Problem)[]> {
    return this.rollout.write(model, (mirror) =>
      mirror === undefined ? putItems(model, open, options) : mirror.put(model, open, options),
    );
  }

  /** @returns how many of the ids were there */
  delete(model: ServedModel, ids: readonly string[]): Promise<number> {
    return this.rollout.write(model, (mirror) =>
      mirror === undefined ? model.store.delete(ids) : mirror.delete(model, ids),
    );
  }

  /** @returns how many items the filter selected */
  deleteWhere(model: ServedModel, filter: Filter): Promise<number> {
    return this.rollout.deleteWhere(model, filter);
  }
}
