import type { Modality } from '../common/modality.js';
import type { UploadScope } from '../inputs/upload-scope.js';
import type { DecodedMedia } from '../media/decode.js';
import type { Stage } from '../observability/stage.js';
import type { TraceHeaders } from '../observability/trace.js';

/** The request, or the background task, that work is done for. */
export interface CallContext {
  /** Owner of the files that the work reads. */
  readonly uploads: UploadScope;
  /** Aborted when the client has disconnected; absent where nobody can cancel. */
  readonly signal?: AbortSignal | undefined;
  /** Whether another onespace forwarded the request: it must not be forwarded again. */
  readonly forwarded?: boolean;
  /** The trace that the work belongs to. */
  readonly trace?: TraceHeaders | undefined;
  /** How long inputs may wait for others, in milliseconds, so that the model runs on several at once. */
  readonly patienceMs?: number | undefined;
  /** Resolves when the reply has been sent or the client has disconnected. */
  readonly replied?: Promise<void>;
  /** Called with a file that was decoded; not when its vector was known. */
  readonly onDecoded?: (media: DecodedMedia) => void;
  /**
   * Adds the duration of a stage, in seconds, to the timings of model `name@revision`.
   * @param endedAgo seconds since the stage ended, where it is not reported at once
   */
  readonly record: (stage: Stage, modality: Modality, seconds: number, model: string, endedAgo?: number) => void;
}
