import type { Embedder } from '../embedding/embedder.js';
import type { Encoder } from '../inference/encoder.js';
import type { Model } from '../models/catalog.js';
import { type ModelManifest, modelId } from '../models/manifest.js';
import type { ModelMetrics } from '../observability/model-metrics.js';
import type { Search } from '../search/search.js';
import type { VectorStore } from '../store/vector-store.js';
import { StoreProbe } from './store-probe.js';

export interface ServedParts {
  /** The model as the settings or a rollout name it: a folder under models/, or a path. */
  source: string;
  model: Model;
  /** Name of the index that holds this model's vectors. */
  index: string;
  encoder: Encoder;
  embedder: Embedder;
  store: VectorStore;
  search: Search;
  metrics: ModelMetrics;
}

/** A model with everything that serves it: encoder, store, search. */
export class ServedModel {
  /** `name@revision`. */
  readonly id: string;
  readonly source: string;
  readonly index: string;
  readonly manifest: ModelManifest;
  /** Length of its vectors. */
  readonly dim: number;
  readonly encoder: Encoder;
  readonly embedder: Embedder;
  readonly store: VectorStore;
  readonly storeProbe: StoreProbe;
  readonly search: Search;
  readonly metrics: ModelMetrics;

  constructor({ source, model, index, encoder, embedder, store, search, metrics }: ServedParts) {
    this.id = modelId(model.manifest);
    this.source = source;
    this.index = index;
    this.manifest = model.manifest;
    this.dim = model.manifest.dim;
    this.encoder = encoder;
    this.embedder = embedder;
    this.store = store;
    this.storeProbe = new StoreProbe(store);
    this.search = search;
    this.metrics = metrics;
  }

  /** Closes the model when its encoder has finished what it accepted. */
  async close(): Promise<void> {
    await this.encoder.close();
    await this.store.close();
    this.metrics.close();
  }
}
