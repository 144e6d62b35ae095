import { INDEX_KINDS } from '../common/index-kind.js';
import { MODALITIES } from '../common/modality.js';
import type { IndexEvents } from '../store/events.js';
import type { Counts } from '../store/vector-store.js';
import type { Metrics, RecordStage } from './metrics.js';

/** Labels that say which model is served. */
export interface ModelInfo {
  /** Name and revision as one word: the label `model` of every series. */
  model: string;
  name: string;
  revision: string;
}

/** How one of the places is where a model can run. */
export interface DeviceState {
  device: string;
  /** Whether inputs may go there. */
  isUp: boolean;
  /** Whether they do. */
  isUsed: boolean;
}

/** What one model tells Prometheus. */
export class ModelMetrics {
  queueLength = () => 0;
  devices: () => readonly DeviceState[] = () => [];
  private countVectors: (() => Promise<Counts>) | undefined;

  /** @param onClose told when there is nothing more to measure */
  constructor(
    private readonly all: Metrics,
    readonly info: ModelInfo,
    private readonly onClose: () => void,
  ) {
    // A counter that is not there yet cannot be seen to rise.
    all.workerRestarts.inc({ model: this.model }, 0);
  }

  get model(): string {
    return this.info.model;
  }

  /** Counts one forward pass: its inputs, their tokens, and the padding between them. */
  observeBatch(size: number, tokens: number, padding: number): void {
    const { all, model } = this;
    all.batchSize.observe({ model }, size);
    all.batchTokens.inc({ kind: 'real', model }, tokens);
    all.batchTokens.inc({ kind: 'padding', model }, padding);
  }

  countFullQueue(): void {
    this.all.refused.inc({ reason: 'queue_full' });
  }

  /** Counts that the model goes on elsewhere: a fallback, or the way back. */
  countMove(from: string, to: string): void {
    this.all.deviceMoves.inc({ from, to, model: this.model });
  }

  countRestart(): void {
    this.all.workerRestarts.inc({ model: this.model });
  }

  /** Times a stage of work that belongs to no request, such as comparing two models. */
  readonly record: RecordStage = (stage, modality, seconds) =>
    this.all.stageSeconds.observe({ stage, modality, model: this.model }, seconds);

  /** Counts what the index tells of its work. */
  readonly indexEvents: IndexEvents = {
    onSearchBatch: ({ queries }) => this.all.searchBatch.observe({ model: this.model }, queries),
    onCommit: ({ writes, durationMs }) => {
      this.all.commitWrites.observe({ model: this.model }, writes);
      this.all.commitSeconds.observe({ model: this.model }, durationMs / 1000);
    },
    onIndexInstalled: ({ modality, kind, recallAt10 }) =>
      this.all.recall.set({ modality, index: kind, model: this.model }, recallAt10),
    onSnapshot: ({ ok }) => this.all.snapshots.inc({ outcome: ok ? 'written' : 'failed', model: this.model }),
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

  /** Vectors stored, or undefined where the store cannot be reached. */
  async count(): Promise<Counts | undefined> {
    return this.countVectors?.().catch(() => undefined);
  }

  /** The model is gone: its gauges go with it, its counters stay as they were. */
  close(): void {
    this.onClose();
    for (const modality of MODALITIES)
      for (const index of INDEX_KINDS) this.all.recall.remove({ modality, index, model: this.model });
  }
}
