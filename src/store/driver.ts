import type { Config } from '../config.js';
import type { Logger } from '../lib/log/logger.js';
import type { IndexEvents } from './events.js';
import type { ModelBinding, VectorStore } from './vector-store.js';

/** Which index to open, and for whom. */
export interface OpenRequest {
  config: Config;
  /** Name of the index: that of its model unless the settings or a rollout give another. */
  name: string;
  binding: ModelBinding;
  events: IndexEvents;
  logger: Logger;
}

/**
 * Opens an index; creates it where there is none.
 * @throws Problem `index_model_mismatch` when it holds another model's vectors, `conflict` when another process has
 *   it open, `store_unavailable` or `disk_full`
 * @throws Error when the settings ask for what the driver cannot do
 */
export type StoreDriver = (request: OpenRequest) => Promise<VectorStore>;
