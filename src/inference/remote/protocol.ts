import type { Static, TSchema } from 'typebox';
import { Value } from 'typebox/value';
import { Problem, type ProblemCode } from '../../common/errors.js';
import { toUnitVector } from '../../common/vector.js';
import type { EncodedInput, Part, Role } from '../encoder.js';
import { PlaceError } from '../failover/target.js';
import type { ReplicaReply } from './client.js';

/** How a kind of server is asked for the vector of an input. */
export interface Dialect {
  /** Whether every reply says which model gave it; where not, the probes are asked for again from time to time. */
  provesEachReply: boolean;
  /** Why these parts cannot be sent, if they cannot. */
  refusal(parts: readonly Part[]): string | undefined;
  embed(parts: readonly Part[], role: Role, signal: AbortSignal): Promise<EncodedInput>;
}

/** What an input can be refused for anywhere: the caller is told as if it had been refused here. */
const OF_THE_INPUT: readonly ProblemCode[] = ['invalid_request', 'too_large'];

/** The body of a good reply. @throws Problem that the caller gets, or PlaceError for what is the replica's fault */
export function bodyOf<Schema extends TSchema>(schema: Schema, { status, body }: ReplicaReply): Static<Schema> {
  if (status === 200 && Value.Check(schema, body)) return body;
  if (status === 200) throw new PlaceError('the replica answers with something else than a vector', '');
  if (status === 401 || status === 403) throw new PlaceError('the replica refuses the API key', `status ${status}`);
  const { code, detail } = problemIn(body);
  if (status === 429 || code === 'overloaded')
    throw new Problem('overloaded', 'The replica is at its limit.', { retry_after_seconds: 1 });
  const shared = OF_THE_INPUT.find((own) => own === code);
  if (shared !== undefined) throw new Problem(shared, detail ?? 'The replica refuses this input.');
  if (status < 500) throw cannotSend(`the replica refuses this input (${status})`);
  throw new PlaceError('the replica fails', `status ${status}, ${code ?? 'no code'}`);
}

/** @throws PlaceError for numbers that are not a vector of this model */
export function toVector(numbers: readonly number[], dim: number): Float32Array {
  try {
    return toUnitVector(numbers, dim);
  } catch (error) {
    throw new PlaceError('the replica gives vectors of another form', `${numbers.length} numbers`, { cause: error });
  }
}

/** What does not run here at the moment, and cannot be sent elsewhere. */
export const cannotSend = (why: string) =>
  new Problem('unavailable', `The model does not run here at the moment, and ${why}.`, { retry_after_seconds: 5 });

function problemIn(body: unknown): { code?: string; detail?: string } {
  if (typeof body !== 'object' || body === null) return {};
  const { code, detail } = body as Record<string, unknown>;
  return {
    ...(typeof code === 'string' ? { code } : {}),
    ...(typeof detail === 'string' ? { detail } : {}),
  };
}
