import type { Modality } from '../common/modality.js';
import type { Frame } from '../media/frame.js';
import type { Upload } from '../media/upload.js';
import type { RecordStage } from '../observability/stage.js';
import type { TraceHeaders } from '../observability/trace.js';

/** What an input is for: some models embed a query differently from the documents it is to match. */
export const ROLES = ['query', 'document'] as const;
export type Role = (typeof ROLES)[number];

/** One part of an input: a text, or the decoded frames of a file. */
export type Part = { text: string } | MediaPart;

export interface MediaPart {
  modality: 'image' | 'video';
  /** One frame of an image; the sampled frames of a video. */
  frames: readonly Frame[];
  /** The file that the frames were decoded from, for encoders that send files; valid until `encode` settles. */
  upload: Upload;
}

export interface EncodeOptions {
  /** The richest modality among the parts, as a label of the timings. */
  modality: Modality;
  role: Role;
  /** Aborted when no caller waits for the vector any more. */
  signal: AbortSignal;
  record: RecordStage;
  /** How long the input may wait for others to share a batch with, in milliseconds; default: as long as a batch runs. */
  patienceMs?: number | undefined;
  /** Whether another service forwarded the request to this one: it is not forwarded again. */
  forwarded?: boolean | undefined;
  /** The trace that the request belongs to. */
  trace?: TraceHeaders | undefined;
}

export interface EncodedInput {
  /** Unit vector `[dim]`. */
  vector: Float32Array;
  /** Length of the sequence that the model read; 0 where a remote model does not report it. */
  tokens: number;
  /** Whether text was cut at the model's limit. */
  truncated: boolean;
}

/** The model runs, but not on the device it was configured for. */
export interface Degradation {
  since: Date;
  /** Why; public, so without paths, addresses or keys. */
  reason: string;
}

/** The parts of one input -> one unit vector: a pool of this process, a remote service, or a failover chain of them. */
export interface Encoder {
  /**
   * @throws Problem `invalid_request` when there is nothing to embed, `too_large` when the input does not fit,
   *   `overloaded`, `client_closed`, `unavailable`
   */
  encode(parts: readonly Part[], options: EncodeOptions): Promise<EncodedInput>;
  /** Where the model runs; undefined while it runs nowhere. */
  readonly device: string | undefined;
  readonly isReady: boolean;
  /** Set while the model does not run where it should. */
  readonly degradation?: Degradation | undefined;
  /** Ends the encoder after the inputs it has accepted. */
  close(): Promise<void>;
}
