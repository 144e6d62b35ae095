import path from 'node:path';
import { Problem } from '../common/errors.js';
import type { Config } from '../config.js';
import type { Logger } from '../lib/logger.js';
import { openChromaStore } from './chroma/store.js';
import type { IndexEvents } from './faiss/events.js';
import { finishSwitch } from './faiss/index-swap.js';
import { openFaissStore } from './faiss/store.js';
import { LazyStore } from './lazy-store.js';
import type { ModelBinding, VectorStore } from './vector-store.js';

/** Opens the index of this name in the store that the settings name, for the vectors of one model. */
export async function openStore(
  config: Config,
  name: string,
  binding: ModelBinding,
  events: IndexEvents,
  logger: Logger,
): Promise<VectorStore> {
  if (config.STORE === 'chroma') return openChroma(config, name, binding, logger);
  const { DATA_DIR, INDEX, KEEP_ORIGINALS } = config;
  const dir = path.join(DATA_DIR, 'index', name);
  await finishSwitch(dir);
  return openFaissStore({
    dir,
    binding,
    logger,
    events,
    keepOriginals: KEEP_ORIGINALS,
    ...(INDEX === 'flat' ? {} : { approximation: { kind: INDEX } }),
  });
}

/** A Chroma server may be down when this process starts: embedding works all the same, storing once it is up. */
async function openChroma(config: Config, name: string, binding: ModelBinding, logger: Logger): Promise<VectorStore> {
  if (config.KEEP_ORIGINALS)
    throw new Error(
      'KEEP_ORIGINALS needs STORE=faiss: replicas that share a Chroma server share no folder to keep files in.',
    );
  const open = () => openChromaStore({ url: config.CHROMA_URL, collection: `onespace-${name}`, binding });
  const store = new LazyStore(open);
  await store.count().catch((error: unknown) => {
    if (!(error instanceof Problem && error.code === 'store_unavailable')) throw error;
    logger.warn({ err: error }, 'the Chroma server cannot be reached; storing and searching wait for it');
  });
  return store;
}
