import type { Modality } from '../common/modality.js';
import type { Frame } from '../media/frame.js';
import type { Upload } from '../media/upload.js';
import type { RecordStage } from '../observability/metrics.js';

/** What an input is for: some models embed a question otherwise than what it is to find. */
export const ROLES = ['query', 'document'] as const;
export type Role = (typeof ROLES)[number];

/** One thing to embed: a text, or the pictures of a file. */
export type Part = { text: string } | MediaPart;

export interface MediaPart {
  modality: 'image' | 'video';
  /** One of an image, the sampled moments of a video. */
  frames: readonly Frame[];
  /** The file they were decoded from, for encoders that send it elsewhere; there until `encode` is done. */
  upload: Upload;
}

export interface EncodeOptions {
  /** The richest modality among the parts, for the timings. */
  modality: Modality;
  role: Role;
  /** Aborted when nobody waits for the vector any more. */
  signal: AbortSignal;
  record: RecordStage;
  /** Whether another service sent it on to this one: it must not be sent on again. */
  forwarded?: boolean | undefined;
}

export interface EncodedInput {
  /** Unit vector `[dim]`. */
  vector: Float32Array;
  /** Length of the sequence the model saw; 0 where a model elsewhere does not tell. */
  tokens: number;
  /** Whether text was cut at the model's limit. */
  truncated: boolean;
}

/** That a model does not run where it should, but it runs. */
export interface Degradation {
  since: Date;
  /** Why, for everyone to read. */
  reason: string;
}

/** The parts of one input -> one unit vector: a pool of this process, a service elsewhere, or a chain of them. */
export interface Encoder {
  /**
   * @throws Problem `invalid_request` when there is nothing to embed, `too_large` when there is too much,
   *   `overloaded`, `client_closed`, `unavailable`
   */
  encode(parts: readonly Part[], options: EncodeOptions): Promise<EncodedInput>;
  /** Where the model runs; undefined while it runs nowhere. */
  readonly device: string | undefined;
  readonly isReady: boolean;
  /** There while it runs somewhere else than it should. */
  readonly degradation?: Degradation | undefined;
  /** Ends it after what it has accepted. */
  close(): Promise<void>;
}
