import path from 'node:path';
import type { StoreDriver } from '../driver.js';
import { finishSwap } from './index-swap.js';
import { openFaissStore } from './store.js';

/** The embedded store, in a folder below DATA_DIR. */
export const openFaiss: StoreDriver = async ({ config, name, binding, events, logger }) => {
  const { DATA_DIR, INDEX, KEEP_ORIGINALS } = config;
  const dir = path.join(DATA_DIR, 'index', name);
  await finishSwap(dir);
  return openFaissStore({
    dir,
    binding,
    logger,
    events,
    keepOriginals: KEEP_ORIGINALS,
    ...(INDEX === 'flat' ? {} : { approximateIndex: { kind: INDEX } }),
  });
};
