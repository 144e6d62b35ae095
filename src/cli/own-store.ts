import { pino } from 'pino';
import { type Config, loadConfig } from '../config.js';
import { findModel, modelFolders } from '../models/catalog.js';
import { Metrics } from '../observability/metrics.js';
import { modelSources } from '../serving/model-registry.js';
import { openStore } from '../store/open-store.js';
import type { ModelBinding, VectorStore } from '../store/vector-store.js';

/** The model of the settings, as a store is bound to it. */
export async function ownBinding(config: Config): Promise<ModelBinding> {
  const { name, revision, dim } = (await findModel(modelSources(config)[0], modelFolders(config))).manifest;
  return { model: name, revision, dim };
}

/**
 * Opens the store of the settings without the service. One process at a time can open an embedded store: stop the
 * service first. A Chroma server can be used by both.
 */
export async function openOwnStore(): Promise<VectorStore> {
  const config = loadConfig(process.env);
  const binding = await ownBinding(config);
  const { model, revision } = binding;
  const metrics = new Metrics().openModel({ model, name: model, revision });
  return openStore({ config, name: model, binding, events: metrics.indexEvents, logger: pino({ level: 'error' }) });
}
