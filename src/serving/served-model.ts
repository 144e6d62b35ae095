import type { Embedder } from '../embedding/embedder.js';
import type { Encoder } from '../inference/encoder.js';
import type { Model } from '../models/catalog.js';
import type { ModelManifest } from '../models/manifest.js';
import type { ModelMetrics } from '../observability/model-metrics.js';
import type { Searcher } from '../search/search.js';
import type { VectorStore } from '../store/vector-store.js';

export interface ServedParts {
  /** What was asked for: a folder under models/, or a path. */
  source: string;
  model: Model;
  /** Name of the index that holds this model's vectors. */
  index: string;
  encoder: Encoder;
  embedder: Embedder;
  store: VectorStore;
  searcher: Searcher;
  metrics: ModelMetrics;
}

/** A full commit id says no more than its beginning. */
const COMMIT = /^[0-9a-f]{40}$/;
const SHORT_COMMIT_CHARACTERS = 12;

/** Name and revision as one word: what tells two versions of a model apart. */
export function modelId({ name, revision }: Pick<ModelManifest, 'name' | 'revision'>): string {
  return `${name}@${COMMIT.test(revision) ? revision.slice(0, SHORT_COMMIT_CHARACTERS) : revision}`;
}

/** A model with all that answers for it: session threads, vectors, search. */
export class ServedModel {
  readonly id: string;
  private users = 0;
  private onIdle: (() => void) | undefined;

  constructor(private readonly parts: ServedParts) {
    this.id = modelId(parts.model.manifest);
  }

  get source(): string {
    return this.parts.source;
  }

  get manifest(): ModelManifest {
    return this.parts.model.manifest;
  }

  get index(): string {
    return this.parts.index;
  }

  get encoder(): Encoder {
    return this.parts.encoder;
  }

  get embedder(): Embedder {
    return this.parts.embedder;
  }

  get store(): VectorStore {
    return this.parts.store;
  }

  get searcher(): Searcher {
    return this.parts.searcher;
  }

  get metrics(): ModelMetrics {
    return this.parts.metrics;
  }

  /** Keeps the model open. @returns the function that lets it go, once */
  use(): () => void {
    this.users++;
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.users--;
      if (this.users === 0) this.onIdle?.();
    };
  }

  /** Ends the model when nobody uses it any more, and after what its threads have accepted. */
  async close(): Promise<void> {
    if (this.users > 0) await new Promise<void>((resolve) => (this.onIdle = resolve));
    const { encoder, store, metrics } = this.parts;
    await encoder.close();
    await store.close();
    metrics.close();
  }
}
