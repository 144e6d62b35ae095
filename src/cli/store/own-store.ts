import { pino } from 'pino';
import { type Config, loadConfig } from '../../config.js';
import { findModel, modelFolders } from '../../models/catalog.js';
import { Metrics } from '../../observability/metrics.js';
import { whileLocked } from '../../serving/data-dir.js';
import { modelSources } from '../../serving/model-registry.js';
import { openStore } from '../../store/open-store.js';
import type { ModelBinding, VectorStore } from '../../store/vector-store.js';

/** The model of the settings, as a store is bound to it. */
export async function ownBinding(config: Config): Promise<ModelBinding> {
  const { name, revision, dim } = (await findModel(modelSources(config)[0], modelFolders(config))).manifest;
  return { model: name, revision, dim };
}

/**
 * Runs a task on the store of the settings, without the service. One process at a time may use DATA_DIR: the service
 * must be stopped. A Chroma server can be used by both.
 * @throws Problem `conflict` when the service, or another command, uses DATA_DIR
 */
export async function withOwnStore<T>(task: (store: VectorStore) => Promise<T>): Promise<T> {
  const config = loadConfig(process.env);
  const run = async () => {
    const store = await openOwnStore(config);
    try {
      return await task(store);
    } finally {
      await store.close();
    }
  };
  return config.STORE === 'faiss' ? whileLocked(config.DATA_DIR, run) : run();
}

async function openOwnStore(config: Config): Promise<VectorStore> {
  const binding = await ownBinding(config);
  const { model, revision } = binding;
  const metrics = new Metrics().openModel({ model, name: model, revision });
  return openStore({ config, name: model, binding, events: metrics.indexEvents, logger: pino({ level: 'error' }) });
}
