import type { Counter, Gauge, Histogram } from 'prom-client';
import { Problem } from '../common/errors.js';
import { INDEX_KINDS } from '../common/index-kind.js';
import { MODALITIES, type Modality } from '../common/modality.js';
import { Sampled } from '../lib/sampled.js';
import type { IndexEvents } from '../store/events.js';
import type { Counts, VectorStore } from '../store/vector-store.js';
import type { Stage } from './stage.js';

/** Labels that identify a served model. */
export interface ModelInfo {
  /** Name and revision in one string: the label `model` of every series. */
  model: string;
  name: string;
  revision: string;
}

/** The state of one device, or upstream, on which a model can run. */
export interface DeviceState {
  device: string;
  /** Whether it accepts inputs. */
  isUp: boolean;
  /** Whether the model runs there now. */
  isUsed: boolean;
}

/** The series that a model writes to. */
export interface ModelSeries {
  stageSeconds: Histogram<'stage' | 'modality' | 'model'>;
  batchSize: Histogram<'model'>;
  batchTokens: Counter<'kind' | 'model'>;
  refused: Counter<'reason'>;
  workerRestarts: Counter<'model'>;
  deviceMoves: Counter<'from' | 'to' | 'model'>;
  deviceFailures: Counter<'device' | 'model'>;
  searchBatch: Histogram<'model'>;
  commitWrites: Histogram<'model'>;
  commitSeconds: Histogram<'model'>;
  recall: Gauge<'modality' | 'index' | 'model'>;
  snapshots: Counter<'outcome' | 'model'>;
  snapshotTime: Gauge<'model'>;
  journalBytes: Gauge<'model'>;
  journalDueBytes: Gauge<'model'>;
  storeSeconds: Histogram<'operation' | 'model'>;
  storeFailures: Counter<'operation' | 'model'>;
}

const STORE_OPERATIONS = ['upsert', 'get', 'delete', 'deleteWhere', 'list', 'search', 'count'] as const;
type StoreOperation = (typeof STORE_OPERATIONS)[number];

/** The measurements of one model. What is measured per batch is bound to its labels once, here. */
export class ModelMetrics {
  /** Inputs of a forward pass. */
  readonly batchSize: Histogram.Internal<'model'>;
  /** Tokens of inputs. */
  readonly realTokens: Counter.Internal;
  /** Tokens of padding. */
  readonly paddingTokens: Counter.Internal;
  queueLength = () => 0;
  devices: () => readonly DeviceState[] = () => [];
  private counts: Sampled<Counts> | undefined;
  /** Whether the last call of the store was answered. */
  private storeAnswered = true;

  /** @param onClose called when the model is closed */
  constructor(
    private readonly series: ModelSeries,
    readonly info: ModelInfo,
    private readonly onClose: () => void,
  ) {
    const { model } = info;
    this.batchSize = series.batchSize.labels({ model });
    this.realTokens = series.batchTokens.labels({ kind: 'real', model });
    this.paddingTokens = series.batchTokens.labels({ kind: 'padding', model });
  }

  /** Sets the model's counters and histograms to 0, except those of stages: few of their labels ever occur. */
  startSeries(): void {
    const { series, model } = this;
    series.workerRestarts.inc({ model }, 0);
    for (const histogram of [series.batchSize, series.searchBatch, series.commitWrites, series.commitSeconds])
      histogram.zero({ model });
    for (const outcome of ['written', 'failed']) series.snapshots.inc({ outcome, model }, 0);
    for (const operation of STORE_OPERATIONS) {
      series.storeSeconds.zero({ operation, model });
      series.storeFailures.inc({ operation, model }, 0);
    }
  }

  get model(): string {
    return this.info.model;
  }

  countFullQueue(): void {
    this.series.refused.inc({ reason: 'queue_full' });
  }

  /** Counts a failover, or the return from one. */
  countMove(from: string, to: string): void {
    this.series.deviceMoves.inc({ from, to, model: this.model });
  }

  /** Counts an input that failed on a device or upstream. */
  countDeviceFailure(device: string): void {
    this.series.deviceFailures.inc({ device, model: this.model });
  }

  countRestart(): void {
    this.series.workerRestarts.inc({ model: this.model });
  }

  /** Times stages of work that belongs to no request, such as a shadow comparison. */
  readonly record = (stage: Stage, modality: Modality, seconds: number): void =>
    this.series.stageSeconds.observe({ stage, modality, model: this.model }, seconds);

  /** Counts the events of the model's index. */
  readonly indexEvents: IndexEvents = {
    onSearchBatch: ({ queries }) => this.series.searchBatch.observe({ model: this.model }, queries),
    onCommit: ({ writes, durationMs }) => {
      this.series.commitWrites.observe({ model: this.model }, writes);
      this.series.commitSeconds.observe({ model: this.model }, durationMs / 1000);
    },
    onJournal: ({ bytes, dueBytes, snapshotAtMs }) => {
      const { model } = this;
      this.series.journalBytes.set({ model }, bytes);
      this.series.journalDueBytes.set({ model }, dueBytes);
      if (snapshotAtMs !== undefined) this.series.snapshotTime.set({ model }, snapshotAtMs / 1000);
    },
    onIndexInstalled: ({ modality, kind, recallAt10 }) =>
      this.series.recall.set({ modality, index: kind, model: this.model }, recallAt10),
    onSnapshot: ({ ok }) => this.series.snapshots.inc({ outcome: ok ? 'written' : 'failed', model: this.model }),
  };

  watchQueue(length: () => number): void {
    this.queueLength = length;
  }

  watchDevices(read: () => readonly DeviceState[]): void {
    this.devices = read;
    const { model } = this;
    const names = read().map(({ device }) => device);
    for (const device of names) this.series.deviceFailures.inc({ device, model }, 0);
    for (const from of names)
      for (const to of names) if (from !== to) this.series.deviceMoves.inc({ from, to, model }, 0);
  }

  /** The store, its operations timed and counted from now on. */
  watchStore(store: VectorStore): VectorStore {
    const timed =
      <Args extends unknown[], Result>(operation: StoreOperation, call: (...args: Args) => Promise<Result>) =>
      (...args: Args) =>
        this.time(operation, () => call(...args));
    const watched: VectorStore = {
      upsert: timed('upsert', (items) => store.upsert(items)),
      get: timed('get', (id) => store.get(id)),
      delete: timed('delete', (ids) => store.delete(ids)),
      deleteWhere: timed('deleteWhere', (filter) => store.deleteWhere(filter)),
      list: timed('list', (options) => store.list(options)),
      search: timed('search', (vector, options) => store.search(vector, options)),
      count: timed('count', () => store.count()),
      check: () => store.check(),
      originals: store.originals,
      ...(store.backUp === undefined ? {} : { backUp: store.backUp.bind(store) }),
      ...(store.snapshot === undefined ? {} : { snapshot: store.snapshot.bind(store) }),
      close: () => store.close(),
    };
    this.counts = new Sampled(() => watched.count());
    return watched;
  }

  /** Vectors stored, or undefined while the store does not answer. */
  async count(): Promise<Counts | undefined> {
    const counts = await this.counts?.get();
    return this.isStoreUp ? counts : undefined;
  }

  /** Whether the store answers. */
  get isStoreUp(): boolean {
    return this.storeAnswered && this.counts?.hangs !== true;
  }

  private async time<Result>(operation: StoreOperation, call: () => Promise<Result>): Promise<Result> {
    const labels = { operation, model: this.model };
    const start = performance.now();
    try {
      const result = await call();
      this.storeAnswered = true;
      return result;
    } catch (error) {
      if (error instanceof Problem && error.isOfInput) throw error;
      if (error instanceof Problem && error.code === 'store_unavailable') this.storeAnswered = false;
      this.series.storeFailures.inc(labels);
      throw error;
    } finally {
      this.series.storeSeconds.observe(labels, (performance.now() - start) / 1000);
    }
  }

  /** Removes the model's gauges; its counters keep their values. */
  close(): void {
    this.onClose();
    const { series, model } = this;
    for (const gauge of [series.snapshotTime, series.journalBytes, series.journalDueBytes]) gauge.remove({ model });
    for (const modality of MODALITIES)
      for (const index of INDEX_KINDS) series.recall.remove({ modality, index, model });
  }
}
