import { Type } from 'typebox';
import { Value } from 'typebox/value';
import { Problem } from '../../../common/errors.js';

/** A failed request to the Gemini API. */
export interface GeminiFailure {
  problem: Problem;
  /** Whether the same request may succeed a moment later. */
  isTransient: boolean;
}

/** The body of an error reply (https://google.aip.dev/193), which the SDK makes the message of its error. */
const ErrorReply = Type.Object({
  error: Type.Object({
    message: Type.Optional(Type.String()),
    details: Type.Optional(
      Type.Array(Type.Object({ reason: Type.Optional(Type.String()), retryDelay: Type.Optional(Type.String()) })),
    ),
  }),
});

const TRANSIENT_STATUSES: readonly number[] = [408, 500, 502, 503, 504];

/** An error reply, a timeout or a network failure, as the Problem that the caller of this service receives. */
export function failureOf(error: unknown): GeminiFailure {
  if (error instanceof Problem) return { problem: error, isTransient: false };
  const status = statusOf(error);
  if (status === undefined) return { problem: unavailable('cannot be reached', error), isTransient: true };
  const { reason, message, retryAfterSeconds } = detailsOf(error);
  return {
    problem: problemOf(status, error, { reason, message, retryAfterSeconds }),
    isTransient: TRANSIENT_STATUSES.includes(status),
  };
}

interface ErrorDetails {
  reason: string | undefined;
  message: string;
  retryAfterSeconds: number | undefined;
}

function problemOf(status: number, error: unknown, { reason, message, retryAfterSeconds = 1 }: ErrorDetails): Problem {
  if (status === 429) {
    const detail = 'The quota of this service at the Gemini API is used up. Try again later.';
    return new Problem('overloaded', detail, { retry_after_seconds: retryAfterSeconds }, { cause: error });
  }
  // The API replies 400 to a wrong key.
  if (reason === 'API_KEY_INVALID' || status === 401 || status === 403)
    return unavailable('does not accept the GEMINI_API_KEY of this service', error);
  if (status === 404) return unavailable('has no such model', error);
  if (status === 413)
    return new Problem('too_large', `The Gemini API refuses the input: ${message}`, {}, { cause: error });
  if (status < 500)
    return new Problem('invalid_request', `The Gemini API refuses the input: ${message}`, {}, { cause: error });
  return unavailable(`answered ${status}`, error);
}

const unavailable = (what: string, cause: unknown) =>
  new Problem('model_unavailable', `The Gemini API ${what}.`, {}, { cause });

function statusOf(error: unknown): number | undefined {
  const status = error instanceof Error && 'status' in error ? error.status : undefined;
  return typeof status === 'number' ? status : undefined;
}

function detailsOf(error: unknown): ErrorDetails {
  const reply = parse(error instanceof Error ? error.message : '');
  if (!Value.Check(ErrorReply, reply))
    return { reason: undefined, message: 'no reason given.', retryAfterSeconds: undefined };
  const { message = 'no reason given.', details = [] } = reply.error;
  const reason = details.find((detail) => detail.reason !== undefined)?.reason;
  const delay = details.find(({ retryDelay }) => retryDelay !== undefined)?.retryDelay;
  const seconds = Math.ceil(Number.parseFloat(delay ?? ''));
  return { reason, message, retryAfterSeconds: Number.isNaN(seconds) ? undefined : Math.max(1, seconds) };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
