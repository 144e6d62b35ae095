import { Problem, type ProblemCode } from '../../../common/errors.js';
import type { Approximation } from '../../../common/index-kind.js';
import type { Modality } from '../../../common/modality.js';
import type { LogLevel } from '../../../lib/logger.js';
import type { Counts, Filter, ModelBinding } from '../../vector-store.js';
import type { EventName, IndexEvents } from '../events.js';

/** How the worker opens an index. */
export interface OpenOptions {
  dir: string;
  binding: ModelBinding;
  /** Journal bytes that call for a snapshot, as long as the index is smaller than twice that. */
  snapshotBytes: number;
  /** How to search shards of at least `minRows`; exactly, where it is absent. */
  approximation?: { kind: Approximation; minRows: number } | undefined;
}

/** An item on its way to another thread. Metadata travels as JSON text: whoever hands it out parses it, once. */
export interface RawItem {
  id: string;
  modality: Modality;
  metadata: string;
}

export interface RawQuery {
  vector: Float32Array;
  k: number;
  modality?: Modality | undefined;
  filter?: Filter | undefined;
}

export interface RawHit extends RawItem {
  score: number;
}

export interface RawListOptions {
  limit: number;
  after?: string | undefined;
  modality?: Modality | undefined;
  filter?: Filter | undefined;
}

export interface RawPage {
  items: RawItem[];
  /** The last id looked at, where there is more. */
  next?: string;
}

/** What the service asks of the index thread, and what it gets back. */
export interface Methods {
  open: (options: OpenOptions) => void;
  write: (payload: Uint8Array) => number;
  deleteWhere: (filter: Filter) => number;
  get: (id: string) => (RawItem & { vector: Float32Array }) | undefined;
  list: (options: RawListOptions) => RawPage;
  search: (query: RawQuery) => RawHit[];
  count: () => Counts;
  refersTo: (files: readonly string[]) => boolean[];
  snapshot: () => void;
  settled: () => void;
  close: () => void;
}

export type Method = keyof Methods;
export type Argument<M extends Method> = Parameters<Methods[M]>[0];
export type Result<M extends Method> = ReturnType<Methods[M]>;

/** `store` tells the open indexes of one thread apart, `call` the questions under way. */
export type Request = {
  [M in Method]: { store: number; call: number; method: M; argument: Argument<M> };
}[Method];

export type Reply =
  | { type: 'result'; call: number; result: unknown }
  | { type: 'failure'; call: number; failure: Failure }
  | { type: 'log'; store: number; level: LogLevel; fields: object; message: string }
  | { [E in EventName]: { type: 'event'; store: number; name: E; event: EventOf<E> } }[EventName];

export type EventOf<E extends EventName> = Parameters<NonNullable<IndexEvents[E]>>[0];

/** An error in a form that crosses threads and stays a `Problem`. */
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
