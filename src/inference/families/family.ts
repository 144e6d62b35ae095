import type { Queued } from '../batching/fair-queue.js';
import type { Part, Role } from '../encoder.js';

/** One input in the form that a family's threads take, with what the queue needs to know of it. */
export interface Prepared<Input> extends Queued {
  input: Input;
  /** Whether text was cut at the model's limit. */
  truncated: boolean;
}

/** Several inputs as one message to a session thread. */
export interface BatchMessage {
  message: object;
  /** Buffers that move to the thread instead of being copied. */
  transfer: ArrayBuffer[];
}

/** What a pool needs to run inputs: the thread that owns the session, and how inputs get there. */
export interface Backend<Input> {
  /** Module of the session threads; it speaks the messages of session-thread.ts. */
  worker: URL;
  /** What a thread is started with. */
  setup: object;
  /** Several inputs -> one batch of the forward pass. */
  collate(inputs: readonly Input[]): BatchMessage;
}

/** A model of one architecture, opened: what is done before and around its session threads. */
export interface Family<Input> extends Backend<Input> {
  /**
   * The parts of one input, in order, as the model takes them.
   * @throws Problem `invalid_request` when there is nothing to embed, `too_large` when there is too much
   */
  prepare(parts: readonly Part[], role: Role): Prepared<Input>;
}
