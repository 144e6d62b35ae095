import { Problem } from '../../common/errors.js';
import type { StoreDriver } from '../driver.js';
import { LazyStore } from '../lazy-store.js';
import { openChromaStore } from './store.js';

/**
 * A collection of the server at CHROMA_URL. The server may be down when this process starts: embedding works
 * without it, and the store once it is up.
 */
export const openChroma: StoreDriver = async ({ config, name, binding, logger }) => {
  if (config.KEEP_ORIGINALS)
    throw new Error(
      'KEEP_ORIGINALS needs STORE=faiss: replicas that share a Chroma server have no common folder for originals.',
    );
  const open = () => openChromaStore({ url: config.CHROMA_URL, collection: `onespace-${name}`, binding });
  const store = new LazyStore(open);
  await store.count().catch((error: unknown) => {
    if (!(error instanceof Problem && error.code === 'store_unavailable')) throw error;
    logger.warn({ err: error }, 'the Chroma server cannot be reached; storing and searching fail until it can');
  });
  return store;
};
