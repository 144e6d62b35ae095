import type { Counter, Gauge, Histogram } from 'prom-client';
import { INDEX_KINDS } from '../common/index-kind.js';
import { MODALITIES } from '../common/modality.js';
import type { IndexEvents } from '../store/events.js';
import type { Counts } from '../store/vector-store.js';
import type { RecordStage } from './stage.js';

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
  searchBatch: Histogram<'model'>;
  commitWrites: Histogram<'model'>;
  commitSeconds: Histogram<'model'>;
  recall: Gauge<'modality' | 'index' | 'model'>;
  snapshots: Counter<'outcome' | 'model'>;
}

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
  private countVectors: (() => Promise<Counts>) | undefined;

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
    // Prometheus sees the first increment only of a counter that already exists.
    series.workerRestarts.inc({ model }, 0);
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

  countRestart(): void {
    this.series.workerRestarts.inc({ model: this.model });
  }

  /** Times stages of work that belongs to no request, such as a shadow comparison. */
  readonly record: RecordStage = (stage, modality, seconds) =>
    this.series.stageSeconds.observe({ stage, modality, model: this.model }, seconds);

  /** Counts the events of the model's index. */
  readonly indexEvents: IndexEvents = {
    onSearchBatch: ({ queries }) => this.series.searchBatch.observe({ model: this.model }, queries),
    onCommit: ({ writes, durationMs }) => {
      this.series.commitWrites.observe({ model: this.model }, writes);
      this.series.commitSeconds.observe({ model: this.model }, durationMs / 1000);
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
  }

  watchIndex(count: () => Promise<Counts>): void {
    this.countVectors = count;
  }

  /** Vectors stored, or undefined while the store cannot be reached. */
  async count(): Promise<Counts | undefined> {
    return this.countVectors?.().catch(() => undefined);
  }

  /** Removes the model's gauges; its counters keep their values. */
  close(): void {
    this.onClose();
    for (const modality of MODALITIES)
      for (const index of INDEX_KINDS) this.series.recall.remove({ modality, index, model: this.model });
  }
}
