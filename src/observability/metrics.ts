import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { MODALITIES } from '../common/modality.js';
import type { GpuReading } from './gpu.js';
import { type ModelInfo, ModelMetrics, type ModelSeries } from './model-metrics.js';

const LATENCY_BUCKETS_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/** The Prometheus series of the service. */
export class Metrics implements ModelSeries {
  readonly registry = new Registry();
  private readonly registers = [this.registry];

  readonly requestSeconds = new Histogram({
    name: 'onespace_request_seconds',
    help: 'Time from the first byte of a request to the last of its reply.',
    labelNames: ['method', 'route', 'status'] as const,
    buckets: LATENCY_BUCKETS_SECONDS,
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
    help: 'Requests refused because the service was at a limit.',
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
    help: 'Snapshots of the index, by outcome; after a failure the write-ahead log grows until one succeeds.',
    labelNames: ['outcome', 'model'] as const,
    registers: this.registers,
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
    help: 'Vectors stored.',
    labelNames: ['modality', 'model'] as const,
    registers: this.registers,
    collect: async () => {
      const counted = await Promise.all([...this.models].map(async (model) => [model, await model.count()] as const));
      this.indexVectors.reset();
      for (const [{ model }, counts] of counted) {
        // The vectors of a store that cannot be reached are not counted; every other series is reported.
        if (counts === undefined) continue;
        for (const modality of MODALITIES) this.indexVectors.set({ modality, model }, counts[modality]);
      }
    },
  });
  private readonly models = new Set<ModelMetrics>();

  constructor() {
    collectDefaultMetrics({ register: this.registry });
  }

  /** The measurements of one model; `close` removes its gauges. */
  openModel(info: ModelInfo): ModelMetrics {
    const metrics = new ModelMetrics(this, info, () => this.models.delete(metrics));
    this.models.add(metrics);
    return metrics;
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

  watchRequests(inFlight: () => number): void {
    this.watch('onespace_requests_under_way', 'Requests that are admitted and not yet answered.', inFlight);
  }

  watchCache(tier: 'memory' | 'disk', bytes: () => number): void {
    this.cacheTiers.set(tier, bytes);
  }

  /** GPU memory and utilisation; without a GPU the series are absent, not zero. */
  watchGpus(read: () => Promise<GpuReading[]>): void {
    const watch = (name: string, help: string, value: (reading: GpuReading) => number) =>
      new Gauge({
        name,
        help,
        labelNames: ['gpu'] as const,
        registers: this.registers,
        async collect() {
          for (const reading of await read()) this.set({ gpu: reading.gpu }, value(reading));
        },
      });
    watch('onespace_gpu_memory_used_bytes', 'GPU memory that all processes use.', ({ usedBytes }) => usedBytes);
    watch('onespace_gpu_memory_total_bytes', 'Total memory of the GPU.', ({ totalBytes }) => totalBytes);
    watch('onespace_gpu_busy_ratio', 'GPU utilisation, 0 to 1.', ({ busyRatio }) => busyRatio);
  }
}
