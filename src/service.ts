import path from 'node:path';
import type { FastifyBaseLogger } from 'fastify';
import { Backups } from './backup/backups.js';
import { type Config, settingWarnings } from './config.js';
import { DiskCache } from './embedding/disk-cache.js';
import type { Embedding } from './embedding/embedding.js';
import { EmbeddingCache, sizeOfEmbedding } from './embedding/embedding-cache.js';
import { openCacheFiles } from './embedding/open-disk-cache.js';
import { AdmissionControl } from './http/admission-control.js';
import type { Lifecycle } from './http/lifecycle/lifecycle.js';
import type { Ports } from './http/lifecycle/ports.js';
import type { ApiKeys } from './http/plugins/auth.js';
import { JsonInputs } from './inputs/json-input.js';
import { MediaRoots } from './inputs/media-roots.js';
import { UrlHosts } from './inputs/url/allowed-hosts.js';
import { RemoteFiles } from './inputs/url/fetch-remote.js';
import { MediaUrls } from './inputs/url/media-url.js';
import { ThumbnailFolder } from './items/files/thumbnail-folder.js';
import { Thumbnails } from './items/files/thumbnails.js';
import { folderJobParts } from './jobs/folder-job-parts.js';
import { JobFiles } from './jobs/job-files.js';
import { JobRunner } from './jobs/job-runner.js';
import type { DirectoryLock } from './lib/directory-lock.js';
import { explainFileError } from './lib/file-errors.js';
import { FactsReader } from './media/facts/facts-reader.js';
import { storedMediaLimits } from './media/limits.js';
import { clearSpool } from './media/upload.js';
import { Ffmpeg } from './media/video/ffmpeg.js';
import { watchHost } from './observability/host-metrics.js';
import { Metrics } from './observability/metrics.js';
import type { Tracing } from './observability/trace.js';
import { openTracing } from './observability/tracing.js';
import { RolloutMetrics } from './rollout/metrics.js';
import { openModels } from './rollout/restore.js';
import { Rollout } from './rollout/rollout.js';
import { StateFile } from './rollout/state-file.js';
import { lockDataDir } from './serving/data-dir.js';
import { ModelLoader } from './serving/load-model.js';
import type { ModelRegistry } from './serving/model-registry.js';
import { isShared } from './store/open-store.js';

declare module 'fastify' {
  interface FastifyInstance {
    service: Service;
  }
}

/** Everything that the routes use: made once per process, available as `app.service`. */
export interface Service {
  config: Config;
  apiKeys: ApiKeys;
  lifecycle: Lifecycle;
  admission: AdmissionControl;
  metrics: Metrics;
  /** Absent unless the environment names where traces go. */
  tracing: Tracing | undefined;
  models: ModelRegistry;
  rollout: Rollout;
  backups: Backups;
  /** Folders whose files requests may name. */
  roots: MediaRoots;
  jobs: JobRunner;
  thumbnails: Thumbnails;
  /** Opens inputs in JSON. */
  inputs: JsonInputs;
  /** Reads what stored files say of themselves; absent where the settings say so. */
  facts: FactsReader | undefined;
  /** Inputs of one request that are embedded at the same time. */
  concurrency: number;
  /** Folder for files that are being received. */
  spoolFolder: string;
  close(): Promise<void>;
}

/** Opens the models, each with its encoder and its index. @throws Error that says what is missing or wrong */
export async function openService(
  config: Config,
  ports: Pick<Ports, 'apiKeys' | 'lifecycle'>,
  logger: FastifyBaseLogger,
): Promise<Service> {
  for (const warning of settingWarnings(process.env)) logger.warn({}, warning);
  try {
    // Before everything that touches DATA_DIR.
    const lock = await lockDataDir(config.DATA_DIR);
    return await openLocked(config, ports, logger, lock).catch(async (error: unknown) => {
      await lock.release();
      throw error;
    });
  } catch (error) {
    throw explainFileError(error, 'DATA_DIR');
  }
}

async function openLocked(
  config: Config,
  { apiKeys, lifecycle }: Pick<Ports, 'apiKeys' | 'lifecycle'>,
  logger: FastifyBaseLogger,
  lock: DirectoryLock,
): Promise<Service> {
  const metrics = new Metrics();
  watchHost(metrics.registry, foldersOf(config));
  const tracing = await openTracing(process.env, logger);
  const spoolFolder = path.join(config.DATA_DIR, 'spool');
  await clearSpool(spoolFolder);
  const diskCache = newDiskCache(config, logger);
  const cache = new EmbeddingCache<Embedding>(config.CACHE_MB * 1e6, sizeOfEmbedding, metrics, diskCache);
  const ffmpeg = await Ffmpeg.locate();
  const facts = config.READ_FILE_FACTS ? new FactsReader(ffmpeg) : undefined;
  const loader = new ModelLoader({
    config,
    metrics,
    logger,
    cache,
    ffmpeg,
    progress: lifecycle,
  });
  const file = new StateFile(path.join(config.DATA_DIR, 'rollout'), () => lock.assertHeld());
  const { models, state, other, configured } = await openModels(config, loader, file, logger);
  // Only now does no other process use the folder: the embedded indexes are locked.
  diskCache?.load(openCacheFiles(diskCache.options));
  const rolloutMetrics = new RolloutMetrics(metrics.registry, () => rollout.measurements);
  const workers = config.ENCODER_WORKERS;
  const parts = { models, loader, file, metrics: rolloutMetrics, logger, workers, configured };
  const rollout = new Rollout({ ...parts, isShared: isShared(config) }, state);
  rollout.resume(other);
  const limits = { requests: config.MAX_QUEUE, bytes: config.MAX_INFLIGHT_MB * 1e6 };
  const admission = new AdmissionControl(limits, (reason) => metrics.refused.inc({ reason }));
  metrics.watchAdmission({
    requests: { used: () => admission.underWay, limit: limits.requests },
    bytes: { used: () => admission.bytesUnderWay, limit: limits.bytes },
  });
  metrics.watchQueueLimit(config.MAX_QUEUE);
  const roots = await MediaRoots.open(config.MEDIA_ROOTS, path.join(spoolFolder, 'links'));
  const inputs = openInputs(config, spoolFolder, roots);
  const jobFiles = new JobFiles(path.join(config.DATA_DIR, 'jobs'), logger);
  const thumbnailFolder = new ThumbnailFolder(path.join(config.DATA_DIR, 'thumbnails'), config.THUMBNAILS_MB * 1e6);
  const thumbnails = new Thumbnails(thumbnailFolder, ffmpeg, storedMediaLimits(config), logger);
  const serving = { models, inputs, facts, thumbnails, roots, admission };
  const jobs = new JobRunner(
    jobFiles,
    (name) => folderJobParts({ ...serving, isRollingOut: () => rollout.isActive }, name),
    logger,
  );
  await jobs.start();
  return {
    config,
    apiKeys,
    lifecycle,
    admission,
    metrics,
    tracing,
    models,
    rollout,
    backups: new Backups(config),
    roots,
    jobs,
    thumbnails,
    inputs,
    facts,
    // Two batches: the next is ready when one is done, and other requests find room in the queue.
    concurrency: 2 * config.MAX_BATCH_SIZE,
    spoolFolder,
    close: async () => {
      await jobs.close();
      await rollout.close();
      await models.close();
      await diskCache?.close();
      await facts?.close();
      await tracing?.close();
      await lock.release();
    },
  };
}

/** The folders that the service writes to, whose disks are watched. */
function foldersOf({ DATA_DIR, LOG_FILE }: Config): Record<string, string> {
  return { data: DATA_DIR, ...(LOG_FILE === '' ? {} : { log: path.dirname(LOG_FILE) }) };
}

function openInputs(config: Config, folder: string, roots: MediaRoots): JsonInputs {
  const { ALLOW_URL_HOSTS, MAX_FETCH_SECONDS, MAX_UPLOAD_MB, MAX_STORED_MB } = config;
  const remote = new RemoteFiles(new UrlHosts(ALLOW_URL_HOSTS), MAX_FETCH_SECONDS * 1000);
  const urls = new MediaUrls({ maxBytes: MAX_UPLOAD_MB * 1e6, folder }, remote);
  const limits = { maxImageBytes: MAX_UPLOAD_MB * 1e6, maxVideoBytes: MAX_STORED_MB * 1e6 };
  return new JsonInputs(urls, roots, limits);
}

function newDiskCache({ CACHE_DISK_MB, DATA_DIR }: Config, logger: FastifyBaseLogger): DiskCache | undefined {
  if (CACHE_DISK_MB === 0) return undefined;
  return new DiskCache({ folder: path.join(DATA_DIR, 'cache'), maxBytes: CACHE_DISK_MB * 1e6, logger });
}
