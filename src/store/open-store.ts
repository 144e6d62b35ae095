import path from 'node:path';
import { Problem } from '../common/errors.js';
import type { Config } from '../config.js';
import type { ModelMetrics } from '../observability/model-metrics.js';
import { openChromaStore } from './chroma/store.js';
import type { Logger } from './faiss/events.js';
import { finishSwitch } from './faiss/index-swap.js';
import { openFaissStore } from './faiss/store.js';
import type { Counts, ModelBinding, VectorStore } from './vector-store.js';

/** Opens the index of this name in the store that the settings name, for the vectors of one model. */
export async function openStore(
  config: Config,
  name: string,
  binding: ModelBinding,
  metrics: ModelMetrics,
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
    events: metrics.indexEvents,
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
  const store = new LateStore(open);
  await store.count().catch((error: unknown) => {
    if (!(error instanceof Problem && error.code === 'store_unavailable')) throw error;
    logger.warn({ err: error }, 'the Chroma server cannot be reached; storing and searching wait for it');
  });
  return store;
}

/** Counting makes a Chroma server go through every id, and metrics and health checks ask often. */
const COUNT_FRESH_MS = 15_000;
/** However many items there are, counting takes at most a twentieth of the time. */
const COUNT_FRESH_FACTOR = 20;

/** A store that is opened when it is first needed, and again at the next need when that fails. */
class LateStore implements VectorStore {
  private opening: Promise<VectorStore> | undefined;
  private counted: { until: number; counts: Counts } | undefined;

  constructor(private readonly open: () => Promise<VectorStore>) {}

  private store(): Promise<VectorStore> {
    this.opening ??= this.open().catch((error: unknown) => {
      this.opening = undefined;
      throw error;
    });
    return this.opening;
  }

  upsert: VectorStore['upsert'] = async (items) => (await this.store()).upsert(items);
  get: VectorStore['get'] = async (id) => (await this.store()).get(id);
  delete: VectorStore['delete'] = async (ids) => (await this.store()).delete(ids);
  deleteWhere: VectorStore['deleteWhere'] = async (filter) => (await this.store()).deleteWhere(filter);
  list: VectorStore['list'] = async (options) => (await this.store()).list(options);
  search: VectorStore['search'] = async (vector, options) => (await this.store()).search(vector, options);
  count: VectorStore['count'] = async () => {
    if (this.counted !== undefined && performance.now() < this.counted.until) return this.counted.counts;
    const store = await this.store();
    const startMs = performance.now();
    const counts = await store.count();
    const endMs = performance.now();
    this.counted = { until: endMs + Math.max(COUNT_FRESH_MS, COUNT_FRESH_FACTOR * (endMs - startMs)), counts };
    return counts;
  };
  close: VectorStore['close'] = async () => {
    const opened = await this.opening?.catch(() => undefined);
    await opened?.close();
  };
}
