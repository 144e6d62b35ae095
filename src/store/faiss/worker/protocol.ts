import { Problem, type ProblemCode } from '../../../common/errors.js';
import type { IndexKind } from '../../../common/index-kind.js';
import type { Modality } from '../../../common/modality.js';
import type { LogLevel } from '../../../lib/log/logger.js';
import type { EventName, IndexEvents } from '../../events.js';
import type { BackupFile, Counts, Filter, ModelBinding } from '../../vector-store.js';

/** What the worker needs to open an index. */
export interface OpenOptions {
  dir: string;
  binding: ModelBinding;
  /** Write-ahead log bytes that call for a snapshot; a large index waits until they are half of its vectors. */
  snapshotBytes: number;
  /** The index for segments of at least `minRows` in a snapshot; absent for exact search. */
  approximateIndex?: { kind: IndexKind; minRows: number } | undefined;
}

/** An item as it travels to another thread: metadata and original as JSON text, which the receiver parses once. */
export interface SerializedItem {
  id: string;
  modality: Modality;
  metadata: string;
}

export interface EngineQuery {
  /** Unit vector `[dim]`. */
  vector: Float32Array;
  k: number;
  modality?: Modality | undefined;
  filter?: Filter | undefined;
}

export interface SerializedHit extends SerializedItem {
  score: number;
}

export interface EngineListOptions {
  limit: number;
  /** The last id of the page before. */
  after?: string | undefined;
  modality?: Modality | undefined;
  filter?: Filter | undefined;
}

export interface SerializedPage {
  items: SerializedItem[];
  /** The last id examined, where there are more. */
  next?: string;
}

/** The requests to the index worker, and their results. */
export interface Methods {
  open: (options: OpenOptions) => void;
  write: (payload: Uint8Array) => number;
  deleteWhere: (filter: Filter) => number;
  get: (id: string) => (SerializedItem & { vector: Float32Array }) | undefined;
  list: (options: EngineListOptions) => SerializedPage;
  search: (query: EngineQuery) => SerializedHit[];
  count: () => Counts;
  check: () => void;
  refersTo: (files: readonly string[]) => boolean[];
  snapshot: () => void;
  backUp: (to: string) => BackupFile[];
  idle: () => void;
  close: () => void;
}

export type Method = keyof Methods;
export type Argument<M extends Method> = Parameters<Methods[M]>[0];
export type Result<M extends Method> = ReturnType<Methods[M]>;

/** `store` identifies an open index of the worker, `call` a request in progress. */
export type Request = {
  [M in Method]: { store: number; call: number; method: M; argument: Argument<M> };
}[Method];

export type Reply =
  | { type: 'result'; call: number; result: unknown }
  | { type: 'failure'; call: number; failure: Failure }
  | { type: 'log'; store: number; level: LogLevel; fields: object; message: string }
  | { [E in EventName]: { type: 'event'; store: number; name: E; event: EventOf<E> } }[EventName];

export type EventOf<E extends EventName> = Parameters<NonNullable<IndexEvents[E]>>[0];

/** An error in a form that can be posted to another thread and turned into a `Problem` again. */
export type Failure =
  | { code: ProblemCode; detail: string; extensions: Record<string, unknown>; cause?: unknown }
  | { error: unknown };

export function toFailure(error: unknown): Failure {
  if (!(error instanceof Problem)) return { error };
  const { code, detail, extensions, cause } = error;
  return { code, detail, extensions, ...(cause === undefined ? {} : { cause }) };
}

export function fromFailure(failure: Failure): unknown {
  if ('error' in failure) return failure.error;
  return new Problem(failure.code, failure.detail, failure.extensions, { cause: failure.cause });
}
