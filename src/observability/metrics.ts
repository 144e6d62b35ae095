import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { MODALITIES } from '../common/modality.js';
import { type ModelInfo, ModelMetrics, type ModelSeries } from './model-metrics.js';

/** The buckets of every histogram of durations. */
export const LATENCY_BUCKETS_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/**
 * How a request ended. `aborted`: the client closed the connection while it was sending, or at once. `abandoned`: the
 * client had sent everything, waited, and gave up; for the client that is a failure of the service.
 */
export const OUTCOMES = ['ok', 'invalid', 'aborted', 'abandoned', 'failed'] as const;
export type Outcome = (typeof OUTCOMES)[number];

/** A gauge of a limit, beside what is used of it. */
interface Usage {
  used: () => number;
  limit: number;
}

/**
 * The Prometheus series of the service. Series whose labels are known in advance exist from the start with 0:
 * Prometheus sees the first increase only of a series that it has read before.
 */
export class Metrics implements ModelSeries {
  readonly registry = new Registry();
  private readonly registers = [this.registry];

  readonly requestSeconds = new Histogram({
    name: 'onespace_request_seconds',
    help: 'Time from the first byte of a request to the last of its reply; status 499 where the client closed the connection first.',
    labelNames: ['method', 'route', 'status'] as const,
    buckets: LATENCY_BUCKETS_SECONDS,
    registers: this.registers,
  });
  readonly requests = new Counter({
    name: 'onespace_requests_total',
    help: 'Requests by outcome: ok, invalid (4xx), failed (5xx), aborted and abandoned (the client closed the connection: at once, or after it had waited for a reply).',
    labelNames: ['method', 'route', 'outcome'] as const,
    registers: this.registers,
  });
  readonly stageSeconds = new Histogram({
    name: 'onespace_stage_seconds',
    help: 'Time of one stage of one input.',
    labelNames: ['stage', 'modality', 'model'] as const,
    buckets: LATENCY_BUCKETS_SECONDS,
    registers: this.registers,
  });
  readonly batchSize = new Histogram({
    name: 'onespace_batch_size',
    help: 'Inputs of one forward pass.',
    labelNames: ['model'] as const,
    buckets: [1, 2, 4, 8, 16, 32, 64, 128],
    registers: this.registers,
  });
  readonly batchTokens = new Counter({
    name: 'onespace_batch_tokens_total',
    help: 'Tokens of forward passes, by kind: real or padding.',
    labelNames: ['kind', 'model'] as const,
    registers: this.registers,
  });
  readonly refused = new Counter({
    name: 'onespace_refused_total',
    help: 'Requests refused because the service was at a limit: requests, bytes, queue_full.',
    labelNames: ['reason'] as const,
    registers: this.registers,
  });
  readonly workerRestarts = new Counter({
    name: 'onespace_worker_restarts_total',
    help: 'Worker threads that exited and were replaced.',
    labelNames: ['model'] as const,
    registers: this.registers,
  });
  readonly deviceMoves = new Counter({
    name: 'onespace_device_moves_total',
    help: 'Moves of a model to another device or upstream: failovers, and returns from them.',
    labelNames: ['from', 'to', 'model'] as const,
    registers: this.registers,
  });
  readonly deviceFailures = new Counter({
    name: 'onespace_device_failures_total',
    help: 'Inputs that failed on a device or upstream, and were encoded on the next one where there was one.',
    labelNames: ['device', 'model'] as const,
    registers: this.registers,
  });
  readonly cacheLookups = new Counter({
    name: 'onespace_cache_lookups_total',
    help: 'Lookups in the embedding cache by outcome: hit, disk_hit, shared (joined a running computation), miss.',
    labelNames: ['outcome'] as const,
    registers: this.registers,
  });

  readonly searchBatch = new Histogram({
    name: 'onespace_search_batch_queries',
    help: 'Queries that one pass over the index answered together.',
    labelNames: ['model'] as const,
    buckets: [1, 2, 4, 8, 16, 32, 64, 128],
    registers: this.registers,
  });
  readonly commitWrites = new Histogram({
    name: 'onespace_commit_writes',
    help: 'Writes that shared one sync of the write-ahead log.',
    labelNames: ['model'] as const,
    buckets: [1, 2, 4, 8, 16, 32, 64, 128, 256],
    registers: this.registers,
  });
  readonly commitSeconds = new Histogram({
    name: 'onespace_commit_seconds',
    help: 'Time of one commit, until its writes are durable.',
    labelNames: ['model'] as const,
    buckets: LATENCY_BUCKETS_SECONDS,
    registers: this.registers,
  });
  readonly recall = new Gauge({
    name: 'onespace_index_recall_at_10',
    help: 'Fraction of the exact top 10 that an approximate index finds.',
    labelNames: ['modality', 'index', 'model'] as const,
    registers: this.registers,
  });
  readonly snapshots = new Counter({
    name: 'onespace_snapshots_total',
    help: 'Snapshots of the index by outcome, written or failed; after a failure the write-ahead log grows until one succeeds.',
    labelNames: ['outcome', 'model'] as const,
    registers: this.registers,
  });
  readonly snapshotTime = new Gauge({
    name: 'onespace_snapshot_timestamp_seconds',
    help: 'When the snapshot that is served from was written, in seconds since 1970; absent where there is none.',
    labelNames: ['model'] as const,
    registers: this.registers,
  });
  readonly journalBytes = new Gauge({
    name: 'onespace_journal_bytes',
    help: 'Bytes of the write-ahead log that no snapshot holds yet.',
    labelNames: ['model'] as const,
    registers: this.registers,
  });
  readonly journalDueBytes = new Gauge({
    name: 'onespace_journal_due_bytes',
    help: 'Bytes of the write-ahead log at which a snapshot is due.',
    labelNames: ['model'] as const,
    registers: this.registers,
  });
  readonly storeSeconds = new Histogram({
    name: 'onespace_store_seconds',
    help: 'Time of one operation of the vector store, failures included.',
    labelNames: ['operation', 'model'] as const,
    buckets: LATENCY_BUCKETS_SECONDS,
    registers: this.registers,
  });
  readonly storeFailures = new Counter({
    name: 'onespace_store_failures_total',
    help: 'Operations that the vector store failed, through no fault of the request.',
    labelNames: ['operation', 'model'] as const,
    registers: this.registers,
  });
  private readonly storeUp = new Gauge({
    name: 'onespace_store_up',
    help: 'Whether the vector store answers.',
    labelNames: ['model'] as const,
    registers: this.registers,
    collect: async () => {
      await Promise.all([...this.models].map((model) => model.count()));
      this.storeUp.reset();
      for (const { model, isStoreUp } of this.models) this.storeUp.set({ model }, Number(isStoreUp));
    },
  });
  private readonly modelInfo = new Gauge({
    name: 'onespace_model_info',
    help: 'The served models; always 1.',
    labelNames: ['model', 'name', 'revision'] as const,
    registers: this.registers,
    collect: () => {
      this.modelInfo.reset();
      for (const { info } of this.models) this.modelInfo.set(info, 1);
    },
  });
  private readonly queueLength = new Gauge({
    name: 'onespace_queue_length',
    help: 'Inputs waiting for the model.',
    labelNames: ['model'] as const,
    registers: this.registers,
    collect: () => {
      this.queueLength.reset();
      for (const { model, queueLength } of this.models) this.queueLength.set({ model }, queueLength());
    },
  });
  private readonly deviceUp = new Gauge({
    name: 'onespace_device_up',
    help: 'Whether a device or upstream accepts inputs: 0 after a failure, until it works again.',
    labelNames: ['device', 'model'] as const,
    registers: this.registers,
    collect: () => {
      this.deviceUp.reset();
      for (const { model, devices } of this.models)
        for (const { device, isUp } of devices()) this.deviceUp.set({ device, model }, Number(isUp));
    },
  });
  private readonly deviceUsed = new Gauge({
    name: 'onespace_device_used',
    help: 'Whether the model runs on a device or upstream now.',
    labelNames: ['device', 'model'] as const,
    registers: this.registers,
    collect: () => {
      this.deviceUsed.reset();
      for (const { model, devices } of this.models)
        for (const { device, isUsed } of devices()) this.deviceUsed.set({ device, model }, Number(isUsed));
    },
  });
  private readonly indexVectors = new Gauge({
    name: 'onespace_index_vectors',
    help: 'Vectors stored; absent while the store does not answer.',
    labelNames: ['modality', 'model'] as const,
    registers: this.registers,
    collect: async () => {
      const counted = await Promise.all([...this.models].map(async (model) => [model, await model.count()] as const));
      this.indexVectors.reset();
      for (const [{ model }, counts] of counted) {
        if (counts === undefined) continue;
        for (const modality of MODALITIES) this.indexVectors.set({ modality, model }, counts[modality]);
      }
    },
  });
  private readonly models = new Set<ModelMetrics>();

  /** Models that have been opened: one that is opened again continues its series. */
  private readonly opened = new Set<string>();

  constructor() {
    collectDefaultMetrics({ register: this.registry });
    for (const reason of ['requests', 'bytes', 'queue_full']) this.refused.inc({ reason }, 0);
    for (const outcome of ['hit', 'disk_hit', 'shared', 'miss']) this.cacheLookups.inc({ outcome }, 0);
  }

  /** The measurements of one model; `close` removes its gauges. */
  openModel(info: ModelInfo): ModelMetrics {
    const metrics = new ModelMetrics(this, info, () => this.models.delete(metrics));
    if (!this.opened.has(info.model)) metrics.startSeries();
    this.opened.add(info.model);
    this.models.add(metrics);
    return metrics;
  }

  /** Starts the series of a route. @param successes statuses of its successful replies */
  startRoute(method: string, route: string, successes: readonly string[]): void {
    for (const status of successes) this.requestSeconds.zero({ method, route, status });
    for (const outcome of OUTCOMES) this.requests.inc({ method, route, outcome }, 0);
  }

  /** A gauge that is read at each scrape. */
  private watch(name: string, help: string, read: () => number): void {
    new Gauge({
      name,
      help,
      registers: this.registers,
      collect() {
        this.set(read());
      },
    });
  }

  private readonly cacheBytes = new Gauge({
    name: 'onespace_cache_bytes',
    help: 'Size of the embedding cache, by tier: memory or disk.',
    labelNames: ['tier'] as const,
    registers: this.registers,
    collect: () => {
      for (const [tier, bytes] of this.cacheTiers) this.cacheBytes.set({ tier }, bytes());
    },
  });
  private readonly cacheTiers = new Map<string, () => number>();

  /** What is admitted of the requests and bytes that may be under way at once. */
  watchAdmission({ requests, bytes }: { requests: Usage; bytes: Usage }): void {
    this.watch('onespace_requests_under_way', 'Requests that are admitted and not yet answered.', requests.used);
    this.watch('onespace_requests_limit', 'Most requests that are admitted at once.', () => requests.limit);
    this.watch('onespace_inflight_bytes', 'Bytes of the bodies of admitted requests.', bytes.used);
    this.watch('onespace_inflight_limit_bytes', 'Most bytes of bodies that are admitted at once.', () => bytes.limit);
  }

  watchQueueLimit(limit: number): void {
    this.watch('onespace_queue_limit', 'Most inputs that may wait for one model.', () => limit);
  }

  watchCache(tier: 'memory' | 'disk', bytes: () => number): void {
    this.cacheTiers.set(tier, bytes);
  }
}
