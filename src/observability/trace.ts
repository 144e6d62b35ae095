import type { Modality } from '../common/modality.js';
import type { Stage } from './stage.js';

/**
 * The headers that carry a trace from service to service.
 * Source: W3C Trace Context, https://www.w3.org/TR/trace-context/.
 */
export interface TraceHeaders {
  traceparent: string;
  tracestate?: string;
}

/** One timed stage of a request. */
export interface StageTiming {
  stage: Stage;
  modality: Modality;
  /** `name@revision`; empty where no model is involved. */
  model: string;
  seconds: number;
  /** Seconds since it ended. */
  endedAgo: number;
}

/** What is known of a request when it ends. */
export interface RequestEnd {
  /** Template of the route; undefined where no route matches. */
  route: string | undefined;
  status: number;
  /** `name@revision` of the model that answered. */
  model: string | undefined;
}

/** The span of one request, with a child span for each of its stages. */
export interface RequestSpan {
  /** For requests to other services. */
  readonly headers: TraceHeaders;
  addStage(timing: StageTiming): void;
  end(end: RequestEnd): void;
}

export interface RequestStart {
  method: string;
  /** Without the query. */
  path: string;
  scheme: string;
  clientAddress: string;
  userAgent: string | undefined;
  requestId: string;
}

/** Records spans and sends them to a collector. */
export interface Tracing {
  /** @param parent the trace that the caller continues */
  startRequest(start: RequestStart, parent: TraceHeaders | undefined): RequestSpan;
  /** Sends what has been recorded. */
  close(): Promise<void>;
}

/** Version, trace id, parent id and flags; later versions may append more. Ids of zeros alone are not valid. */
const TRACEPARENT = /^(?!ff)[\da-f]{2}-(?!0{32})[\da-f]{32}-(?!0{16})[\da-f]{16}-[\da-f]{2}(?<more>-.*)?$/;
/** Longest `tracestate` that is passed on; the standard asks for 512 at least. */
const TRACESTATE_CHARACTERS = 8192;

/** The trace that a request continues; undefined where its headers name none, or not a valid one. */
export function readTrace(headers: Record<string, string | string[] | undefined>): TraceHeaders | undefined {
  const { traceparent, tracestate } = headers;
  if (typeof traceparent !== 'string') return undefined;
  const match = TRACEPARENT.exec(traceparent);
  if (match === null || (traceparent.startsWith('00') && match.groups?.more !== undefined)) return undefined;
  const state = typeof tracestate === 'string' && tracestate.length <= TRACESTATE_CHARACTERS ? tracestate : '';
  return { traceparent, ...(state === '' ? {} : { tracestate: state }) };
}

/** The trace id in a `traceparent`. */
export const traceIdOf = ({ traceparent }: TraceHeaders): string => traceparent.slice(3, 35);
