import path from 'node:path';
import type { FastifyBaseLogger } from 'fastify';
import type { Config } from '../config.js';
import { Embedder } from '../embedding/embedder.js';
import type { Embedding } from '../embedding/embedding.js';
import type { EmbeddingCache } from '../embedding/embedding-cache.js';
import { devicesToTry } from '../inference/device.js';
import type { Encoder } from '../inference/encoder.js';
import { FailoverEncoder } from '../inference/failover/failover-encoder.js';
import { isLocal, openApiEncoder, openLocalEncoder } from '../inference/families/index.js';
import { RemoteClient } from '../inference/remote/client.js';
import { RemoteTarget } from '../inference/remote/remote-target.js';
import type { Progress } from '../lib/progress.js';
import type { Ffmpeg } from '../media/video/ffmpeg.js';
import { type Model, openModel } from '../models/catalog.js';
import { type LocalManifest, modelId } from '../models/manifest.js';
import type { Metrics } from '../observability/metrics.js';
import type { ModelMetrics } from '../observability/model-metrics.js';
import { Search } from '../search/search.js';
import { openStore } from '../store/open-store.js';
import { ServedModel } from './served-model.js';

export interface LoadOptions {
  /** Worker threads of the model. */
  workers: number;
  /** Name of its index, where it differs from the model's. */
  index?: string | undefined;
}

/** What the models of a process have in common. */
export interface Shared {
  config: Config;
  metrics: Metrics;
  logger: FastifyBaseLogger;
  /** Its keys include the model. */
  cache: EmbeddingCache<Embedding>;
  ffmpeg: Ffmpeg;
  /** Follows the loading. */
  progress?: Progress;
}

/** Opens models: from a folder to a model that serves requests. */
export class ModelLoader {
  constructor(private readonly shared: Shared) {}

  /** Reads the manifest of a model whose files are complete. @throws Error that says what is missing or wrong */
  read(source: string): Promise<Model> {
    return openModel(source, this.shared.config);
  }

  /**
   * Starts a model and opens its index.
   * @throws Error that says what is wrong; nothing of the model stays open then
   */
  async open(source: string, model: Model, { workers, index }: LoadOptions): Promise<ServedModel> {
    const { config, logger, cache, ffmpeg, progress } = this.shared;
    const { name, revision, dim } = model.manifest;
    const metrics = this.shared.metrics.openModel({ model: modelId(model.manifest), name, revision });
    const undo = [async () => metrics.close()];
    try {
      const indexName = index ?? name;
      progress?.begin(`opening the index of ${name}`);
      const onReplay = ({ ratio }: { ratio: number }) => progress?.advance(`replaying the journal of ${name}`, ratio);
      const opened = await openStore({
        config,
        name: indexName,
        binding: { model: name, revision, dim },
        events: { ...metrics.indexEvents, onReplay },
        logger,
      });
      undo.push(() => opened.close());
      const store = metrics.watchStore(opened);
      progress?.begin(`loading ${name}`);
      const encoder = await this.startEncoder(model, workers, metrics);
      const embedder = new Embedder(model.manifest, encoder, ffmpeg, cache, config);
      const search = new Search(embedder, store, dim);
      return new ServedModel({ source, model, index: indexName, encoder, embedder, store, search, metrics });
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

/** Divides worker threads among `count` models: evenly, the remainder to the first ones, and at least one each. */
export function divideWorkers(workers: number, count: number): number[] {
  const [each, remainder] = [Math.floor(workers / count), workers % count];
  return Array.from({ length: count }, (_, i) => Math.max(1, each + (i < remainder ? 1 : 0)));
}
