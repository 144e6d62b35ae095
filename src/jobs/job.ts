import type { StorableItem } from './storable-item.js';

/** Long work that no connection waits for: indexing a folder, or storing many items. */

export const JOB_STATES = ['queued', 'running', 'paused', 'done', 'cancelled', 'failed'] as const;
export type JobState = (typeof JOB_STATES)[number];

/** The states of a job that is over. */
export const ENDED: readonly JobState[] = ['done', 'cancelled', 'failed'];

/** Files of a job's folder, or items that were sent, by what became of them. */
export interface JobCounts {
  /** That are there. */
  found: number;
  /** That are as they were when they were stored: not read again. */
  unchanged: number;
  stored: number;
  /** Whose metadata alone were brought up to date: their vectors were kept. */
  updated: number;
  refused: number;
  /** That were stored under another name: their vectors were kept. */
  moved: number;
  /** Items whose file is gone, where the job removes those. */
  removed: number;
}

export interface Job {
  id: string;
  /** A media root, or a folder below one: `photos/2019`. */
  folder?: string;
  /** How many items were sent, where it is not for a folder. */
  items?: number;
  /** The model that was named; the default one without it. */
  model?: string;
  /** Whether items whose file is gone are removed. */
  prune: boolean;
  /** Whether files that have not changed are stored again. */
  all: boolean;
  /** Whether it only counts what it would do. */
  dry_run: boolean;
  state: JobState;
  created_at: string;
  started_at?: string;
  ended_at?: string;
  counts: JobCounts;
  /** Why it failed, or what it waits for. */
  problem?: string;
}

/** A file or an item that a job could not store, and why. */
export interface RefusedFile {
  /** Its path, or its id. */
  file: string;
  reason: string;
}

/** An item that was sent to be stored later; a wrong one with its problem. */
export type JobItem = StorableItem | { id: string; problem: string };

export const noCounts = (): JobCounts => ({
  found: 0,
  unchanged: 0,
  stored: 0,
  updated: 0,
  moved: 0,
  refused: 0,
  removed: 0,
});
