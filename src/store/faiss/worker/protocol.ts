import { Problem, type ProblemCode } from '../../../common/errors.js';
import type { Counts, Filter } from '../../vector-store.js';
import type { EngineOptions, RawListOptions, RawPage } from '../engine.js';
import type { EventName, IndexEvents, LogLevel } from '../events.js';
import type { RawHit, RawQuery } from '../query/query-batcher.js';
import type { RawItem } from './raw.js';

/** What the service asks of the index thread, and what it gets back. */
export interface Methods {
  open: (options: Omit<EngineOptions, 'log' | 'events'>) => void;
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
