import path from 'node:path';
import type { FastifyBaseLogger } from 'fastify';
import type { Config } from '../config.js';
import { Embedder } from '../embedding/embedder.js';
import type { Embedding } from '../embedding/embedding.js';
import type { Cache } from '../embedding/embedding-cache.js';
import { devicesToTry } from '../inference/device.js';
import type { Encoder } from '../inference/encoder.js';
import { FailoverEncoder } from '../inference/failover/failover-encoder.js';
import { isLocal, openApiEncoder, openLocalEncoder } from '../inference/families/index.js';
import { RemoteClient } from '../inference/remote/client.js';
import { RemoteTarget } from '../inference/remote/remote-target.js';
import type { Ffmpeg } from '../media/video/ffmpeg.js';
import { type Model, openModel } from '../models/catalog.js';
import type { LocalManifest } from '../models/manifest.js';
import type { Metrics } from '../observability/metrics.js';
import type { ModelMetrics } from '../observability/model-metrics.js';
import { Searcher } from '../search/search.js';
import { openStore } from '../store/open-store.js';
import { modelId, ServedModel } from './served-model.js';

export interface LoadOptions {
  /** Session threads for the model. */
  workers: number;
  /** Name of its index, where that is not the model's. */
  index?: string | undefined;
}

/** What all models of a process share. */
export interface Shared {
  config: Config;
  metrics: Metrics;
  logger: FastifyBaseLogger;
  /** Its keys tell models apart. */
  cache: Cache<Embedding>;
  ffmpeg: Ffmpeg;
}

/** Opens models: from a folder to something that answers requests. */
export class ModelLoader {
  constructor(private readonly shared: Shared) {}

  /** A model whose files are here. @throws Error that says what is missing or wrong */
  read(source: string): Promise<Model> {
    return openModel(source, this.shared.config);
  }

  /**
   * Starts the threads of a model and opens its index.
   * @throws Error that says what is wrong; then nothing of the model stays open
   */
  async open(source: string, model: Model, { workers, index }: LoadOptions): Promise<ServedModel> {
    const { config, logger, cache, ffmpeg } = this.shared;
    const { name, revision, dim } = model.manifest;
    const metrics = this.shared.metrics.openModel({ model: modelId(model.manifest), name, revision });
    const undo = [async () => metrics.close()];
    try {
      const indexName = index ?? name;
      const store = await openStore(config, indexName, { model: name, revision, dim }, metrics, logger);
      undo.push(() => store.close());
      metrics.watchIndex(() => store.count());
      const encoder = await this.startEncoder(model, workers, metrics);
      const embedder = new Embedder(model.manifest, encoder, ffmpeg, cache, config);
      const searcher = new Searcher(embedder, store, dim);
      return new ServedModel({ source, model, index: indexName, encoder, embedder, store, searcher, metrics });
    } catch (error) {
      for (const step of undo.reverse()) await step();
      throw error;
    }
  }

  private async startEncoder(model: Model, workers: number, metrics: ModelMetrics): Promise<Encoder> {
    const start = performance.now();
    const { manifest, dir } = model;
    const encoder = isLocal(manifest)
      ? await this.openChain({ manifest, dir }, workers, metrics)
      : await openApiEncoder(manifest, this.shared.config);
    const { name, revision } = manifest;
    const ms = Math.round(performance.now() - start);
    this.shared.logger.info({ model: name, revision, device: encoder.device, ms }, 'model loaded');
    return encoder;
  }

  /** The model on the devices of this machine, and in another service when it runs on none of them. */
  private openChain(model: Model<LocalManifest>, workers: number, metrics: ModelMetrics): Promise<Encoder> {
    const { config, logger } = this.shared;
    const options = {
      dtype: config.DTYPE,
      workers,
      threads: config.ENCODER_THREADS,
      maxTokens: config.MAX_BATCH_TOKENS,
      maxSize: config.MAX_BATCH_SIZE,
      maxQueue: config.MAX_QUEUE,
      metrics,
      logger,
    };
    const devices = devicesToTry(config.DEVICE).map((device) => ({
      device,
      open: (onFailure: (error: Error) => void) =>
        openLocalEncoder(model, { ...options, devices: [device], onFailure }),
    }));
    const retryMs = config.FALLBACK_RETRY_SECONDS * 1000;
    return FailoverEncoder.start({ devices, upstream: this.upstreamOf(model), retryMs, metrics, logger });
  }

  private upstreamOf({ manifest }: Model<LocalManifest>): RemoteTarget | undefined {
    const { REPLICA_URL, REPLICA_API_KEY, REPLICA_MODEL, REPLICA_TIMEOUT_SECONDS, ...config } = this.shared.config;
    if (REPLICA_URL === '') return undefined;
    const timeoutMs = REPLICA_TIMEOUT_SECONDS * 1000;
    return new RemoteTarget({
      client: new RemoteClient({ url: REPLICA_URL, apiKey: REPLICA_API_KEY, timeoutMs, maxQueue: config.MAX_QUEUE }),
      id: modelId(manifest),
      manifest,
      model: REPLICA_MODEL === '' ? manifest.name : REPLICA_MODEL,
      videoFps: config.VIDEO_FPS,
      folder: path.join(config.DATA_DIR, 'replica'),
    });
  }
}

/** Shares session threads among `count` models: evenly, the first ones get what is left over, none goes without. */
export function shareWorkers(workers: number, count: number): number[] {
  const [each, over] = [Math.floor(workers / count), workers % count];
  return Array.from({ length: count }, (_, place) => Math.max(1, each + (place < over ? 1 : 0)));
}
