import type { Dtype } from '../../common/dtype.js';
import type { Device } from '../device.js';

/** How the sessions of a model run. */
export interface SessionSettings {
  dtype: Dtype;
  /** Tried in order: the session opens on the first one that works. */
  devices: readonly Device[];
  /** CPU threads within one session. */
  threads: number;
}

/** A batch as it is posted to a worker thread. */
export interface BatchMessage {
  batch: object;
  /** Buffers that move to the thread instead of being copied. */
  transfer: ArrayBuffer[];
}

/** Main thread to worker: a batch to run, or the request to exit after those that came before. */
export type WorkerRequest<Batch = unknown> = { id: number; batch: Batch } | 'close';

/** Worker to main thread: once `ready` or `broken`, then `done` or `failed` for each batch. */
export type WorkerResponse =
  | { type: 'ready'; device: Device }
  | { type: 'broken'; reason: string }
  | ({ type: 'done'; id: number } & BatchResult)
  | { type: 'failed'; id: number; reason: string };

export interface BatchResult extends SessionOutput {
  /** Time of the forward pass. */
  seconds: number;
}

export interface SessionOutput {
  /** Unit vectors `[size, dim]`, in a buffer of their own: it moves to the main thread. */
  vectors: Float32Array<ArrayBuffer>;
  /** One per input, where only the worker tokenises. */
  counts?: TokenCount[];
}

/** What the model read of one input. */
export interface TokenCount {
  tokens: number;
  /** Whether text was cut at the model's limit. */
  truncated: boolean;
}
