import path from 'node:path';
import type { FastifyBaseLogger } from 'fastify';
import { Access } from './access.js';
import type { Config } from './config.js';
import { Embedder } from './embedder.js';
import { type Embedding, embeddingCodec, sizeOfEmbedding } from './embedding.js';
import { Cache } from './encoder/cache.js';
import { ColdCache } from './encoder/cold-cache.js';
import { devicesToTry } from './encoder/device.js';
import { graphPath, type Model, openModel } from './encoder/model.js';
import { EncoderPool } from './encoder/pool.js';
import { Serializer } from './encoder/serializer.js';
import { readGpus } from './gpu.js';
import type { VectorStore } from './index/store.js';
import { Inputs } from './inputs/inputs.js';
import { MediaUrls } from './inputs/media-urls.js';
import { RemoteFiles } from './inputs/remote.js';
import { UrlHosts } from './inputs/url-hosts.js';
import { Ffmpeg } from './media/ffmpeg.js';
import { clearSpool } from './media/spool.js';
import { Metrics } from './metrics.js';
import { Permits } from './permits.js';
import { Searcher } from './search/searcher.js';
import { openStore } from './store.js';

/** Everything behind the routes: made once per process, handed to them by `app.service`. */
export interface Service {
  config: Config;
  access: Access;
  model: Model;
  metrics: Metrics;
  pool: EncoderPool;
  embedder: Embedder;
  /** Reads what JSON says is to be embedded. */
  inputs: Inputs;
  store: VectorStore;
  searcher: Searcher;
  permits: Permits;
  /** Folder for files that are being received. */
  spoolFolder: string;
  close(): Promise<void>;
}

/** Opens model, pool and index. @throws Error that says what is missing or wrong */
export async function openService(config: Config, logger: FastifyBaseLogger): Promise<Service> {
  const access = new Access(config);
  const model = await openModel(config.MODEL);
  const { name, revision, dim } = model.manifest;
  const metrics = new Metrics({ model: name, revision });
  metrics.watchGpus(readGpus);
  const spoolFolder = path.join(config.DATA_DIR, 'spool');
  await clearSpool(spoolFolder);
  const store = await openStore(config, { model: name, revision, dim }, metrics, logger);
  metrics.watchIndex(() => store.count());
  const serializer = await Serializer.open(model);
  const pool = await startPool(config, model, serializer, metrics, logger);
  const cold = openColdCache(config);
  const cache = new Cache<Embedding>(config.CACHE_MB * 1e6, sizeOfEmbedding, metrics, cold);
  const embedder = new Embedder(model.manifest, serializer, pool, await Ffmpeg.locate(), cache, config);
  const inputs = openInputs(config, spoolFolder);
  const searcher = new Searcher(embedder, store, dim);
  const limits = { requests: config.MAX_QUEUE, bytes: config.MAX_INFLIGHT_MB * 1e6 };
  const permits = new Permits(limits, (reason) => metrics.refused.inc({ reason }));
  metrics.watchRequests(() => permits.underWay);
  const close = async () => {
    await pool.close();
    await store.close();
    await cold?.close();
  };
  return { config, access, model, metrics, pool, embedder, inputs, store, searcher, permits, spoolFolder, close };
}

function openInputs({ ALLOW_URL_HOSTS, MAX_FETCH_SECONDS, MAX_UPLOAD_MB }: Config, folder: string): Inputs {
  const remote = new RemoteFiles(new UrlHosts(ALLOW_URL_HOSTS), MAX_FETCH_SECONDS * 1000);
  return new Inputs(new MediaUrls({ maxBytes: MAX_UPLOAD_MB * 1e6, folder }, remote));
}

function openColdCache({ CACHE_DISK_MB, DATA_DIR }: Config): ColdCache<Embedding> | undefined {
  if (CACHE_DISK_MB === 0) return undefined;
  return ColdCache.open(path.join(DATA_DIR, 'cache'), CACHE_DISK_MB * 1e6, embeddingCodec);
}

async function startPool(
  config: Config,
  model: Model,
  { bytesPerPatch }: Serializer,
  metrics: Metrics,
  logger: FastifyBaseLogger,
): Promise<EncoderPool> {
  const options = {
    graphPath: graphPath(model, config.DTYPE),
    bytesPerPatch,
    dim: model.manifest.dim,
    devices: devicesToTry(config.DEVICE),
    workers: config.ENCODER_WORKERS,
    threads: config.ENCODER_THREADS,
    maxTokens: config.MAX_BATCH_TOKENS,
    maxSize: config.MAX_BATCH_SIZE,
    maxQueue: config.MAX_QUEUE,
  };
  const start = performance.now();
  const pool = await EncoderPool.start(options, metrics, logger);
  const { name, revision } = model.manifest;
  logger.info(
    { model: name, revision, device: pool.device, ms: Math.round(performance.now() - start) },
    'model loaded',
  );
  return pool;
}
