import path from 'node:path';
import type { FastifyBaseLogger } from 'fastify';
import type { Config } from './config.js';
import { ColdCache } from './embedding/disk-cache.js';
import { type Embedding, embeddingCodec, sizeOfEmbedding } from './embedding/embedding.js';
import { Cache } from './embedding/embedding-cache.js';
import { Permits } from './http/admission-control.js';
import { Access } from './http/api-keys.js';
import { Inputs } from './inputs/json-input.js';
import { UrlHosts } from './inputs/url/allowed-hosts.js';
import { RemoteFiles } from './inputs/url/fetch-remote.js';
import { MediaUrls } from './inputs/url/media-url.js';
import { clearSpool } from './media/upload.js';
import { Ffmpeg } from './media/video/ffmpeg.js';
import { readGpus } from './observability/gpu.js';
import { Metrics } from './observability/metrics.js';
import { RolloutMetrics } from './rollout/metrics.js';
import { openModels } from './rollout/restore.js';
import { Rollout } from './rollout/rollout.js';
import { Searches } from './rollout/search-router.js';
import { StateFile } from './rollout/state-file.js';
import { Writes } from './rollout/write-router.js';
import { ModelLoader } from './serving/load-model.js';
import type { Models } from './serving/model-registry.js';

/** Everything behind the routes: made once per process, handed to them by `app.service`. */
export interface Service {
  config: Config;
  access: Access;
  metrics: Metrics;
  models: Models;
  rollout: Rollout;
  searches: Searches;
  writes: Writes;
  /** Reads what JSON says is to be embedded. */
  inputs: Inputs;
  permits: Permits;
  /** Folder for files that are being received. */
  spoolFolder: string;
  close(): Promise<void>;
}

/** Opens the models, each with its pool and its index. @throws Error that says what is missing or wrong */
export async function openService(config: Config, logger: FastifyBaseLogger): Promise<Service> {
  const access = new Access(config);
  const metrics = new Metrics();
  metrics.watchGpus(readGpus);
  const spoolFolder = path.join(config.DATA_DIR, 'spool');
  await clearSpool(spoolFolder);
  const cold = openColdCache(config);
  const cache = new Cache<Embedding>(config.CACHE_MB * 1e6, sizeOfEmbedding, metrics, cold);
  const loader = new ModelLoader({ config, metrics, logger, cache, ffmpeg: await Ffmpeg.locate() });
  const file = new StateFile(path.join(config.DATA_DIR, 'rollout'));
  const { models, state, other, configured } = await openModels(config, loader, file, logger);
  const rolloutMetrics = new RolloutMetrics(metrics.registry, () => rollout.now);
  const workers = config.ENCODER_WORKERS;
  const rollout = new Rollout({ models, loader, file, metrics: rolloutMetrics, logger, workers, configured }, state);
  rollout.resume(other);
  const searches = new Searches(models, rollout, rolloutMetrics, logger);
  const writes = new Writes(rollout);
  const inputs = openInputs(config, spoolFolder);
  const limits = { requests: config.MAX_QUEUE, bytes: config.MAX_INFLIGHT_MB * 1e6 };
  const permits = new Permits(limits, (reason) => metrics.refused.inc({ reason }));
  metrics.watchRequests(() => permits.underWay);
  const close = async () => {
    await rollout.close();
    await models.close();
    await cold?.close();
  };
  return { config, access, metrics, models, rollout, searches, writes, inputs, permits, spoolFolder, close };
}

function openInputs({ ALLOW_URL_HOSTS, MAX_FETCH_SECONDS, MAX_UPLOAD_MB }: Config, folder: string): Inputs {
  const remote = new RemoteFiles(new UrlHosts(ALLOW_URL_HOSTS), MAX_FETCH_SECONDS * 1000);
  return new Inputs(new MediaUrls({ maxBytes: MAX_UPLOAD_MB * 1e6, folder }, remote));
}

function openColdCache({ CACHE_DISK_MB, DATA_DIR }: Config): ColdCache<Embedding> | undefined {
  if (CACHE_DISK_MB === 0) return undefined;
  return ColdCache.open(path.join(DATA_DIR, 'cache'), CACHE_DISK_MB * 1e6, embeddingCodec);
}
