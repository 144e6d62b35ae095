import type { IndexKind } from '../common/index-kind.js';
import type { Modality } from '../common/modality.js';

/** The write-ahead log of an index, and the snapshot before it. */
export interface Journal {
  /** Bytes that no snapshot holds yet. */
  bytes: number;
  /** Bytes at which a snapshot is due. */
  dueBytes: number;
  /** When the snapshot was written, in ms since 1970; undefined where there is none. */
  snapshotAtMs: number | undefined;
}

/** What an index reports of its work, for metrics. Callbacks are optional and must not throw. */
export interface IndexEvents {
  /** The write-ahead log changed: after the index was opened, a commit, and a snapshot. */
  onJournal?(journal: Journal): void;
  /** A batch of queries was answered; `durationMs` is the worker's time for all of them. */
  onSearchBatch?(batch: { queries: number; durationMs: number }): void;
  /** A group commit is durable: `writes` shared one fsync. */
  onCommit?(commit: { writes: number; bytes: number; durationMs: number }): void;
  /** A snapshot was written, or failed (the write-ahead log then grows until the next attempt). */
  onSnapshot?(snapshot: { ok: boolean; items: number; durationMs: number }): void;
  /** Opening the index: this ratio of its write-ahead logs has been replayed. */
  onReplay?(replay: { ratio: number }): void;
  /** The last reference to kept files was deleted. */
  onReleased?(files: readonly string[]): void;
  /** A modality is searched by an approximate index from now on. */
  onIndexInstalled?(index: {
    modality: Modality;
    kind: IndexKind;
    rows: number;
    /** Ratio of the 10 nearest found, against exact search; 1 is all. */
    recallAt10: number;
    bytes: number;
    buildMs: number;
  }): void;
}

export type EventName = keyof IndexEvents;
