import type { Queued } from '../batching/fair-queue.js';
import type { Part, Role } from '../encoder.js';
import type { BatchMessage } from '../worker/protocol.js';

/** One input in the form that the family's workers take, with the lengths that the queue batches by. */
export interface Prepared<Input> extends Queued {
  input: Input;
  /** Whether text was cut at the model's limit. */
  truncated: boolean;
}

/** An opened model of one architecture: how inputs are prepared, and the worker threads that run them. */
export interface Family<Input> {
  /** Module of the worker threads; it calls `runWorker`. */
  worker: URL;
  /** `workerData` of a thread. */
  setup: object;
  /**
   * The parts of one input, in order, as the model takes them.
   * @throws Problem `invalid_request` when there is nothing to embed, `too_large` when the input does not fit
   */
  prepare(parts: readonly Part[], role: Role): Prepared<Input>;
  /** Several inputs -> one batch of a forward pass. */
  collate(inputs: readonly Input[]): BatchMessage;
}
