import type { Approximation } from '../../common/index-kind.js';
import type { Modality } from '../../common/modality.js';

/** What an index tells about its work, for metrics. Every callback is optional and must not throw. */
export interface IndexEvents {
  /** One FAISS round: queries answered together, and how long the index thread worked on them. */
  onSearchBatch?(batch: { queries: number; durationMs: number }): void;
  /** One group commit: writes that shared an fsync. */
  onCommit?(commit: { writes: number; bytes: number; durationMs: number }): void;
  /** A snapshot finished, or failed (the journal then goes on growing until the next attempt). */
  onSnapshot?(snapshot: { ok: boolean; items: number; durationMs: number }): void;
  /** Kept files that no item refers to any more. */
  onReleased?(files: readonly string[]): void;
  /** A modality is searched approximately from now on: what that costs and keeps. */
  onApproximation?(approximation: {
    modality: Modality;
    kind: Approximation;
    rows: number;
    /** Share of the 10 nearest found, against exact search; 1 is all. */
    recallAt10: number;
    bytes: number;
    buildMs: number;
  }): void;
}

export type EventName = keyof IndexEvents;
