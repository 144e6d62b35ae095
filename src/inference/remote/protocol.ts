import type { Static, TSchema } from 'typebox';
import { Value } from 'typebox/value';
import { Problem, type ProblemCode } from '../../common/errors.js';
import { toUnitVector } from '../../common/vector.js';
import type { EncodedInput, Part, Role } from '../encoder.js';
import { TargetError } from '../failover/target.js';
import type { RemoteCall, RemoteReply } from './client.js';

/** How one kind of server is asked for the vector of an input. */
export interface Protocol {
  /** Whether every reply names the model it is from; where it does not, the probes are repeated from time to time. */
  repliesNameModel: boolean;
  /** Why the upstream cannot embed these parts; undefined when it can. */
  refusal(parts: readonly Part[]): string | undefined;
  /** @throws Problem that the caller receives; TargetError for a fault of the upstream */
  embed(parts: readonly Part[], role: Role, call: RemoteCall): Promise<EncodedInput>;
}

/** Codes with which any service refuses an input: the caller receives them as if this service had refused it. */
const INPUT_REFUSALS: readonly ProblemCode[] = ['invalid_request', 'too_large'];

/**
 * The body of a successful reply.
 * @throws Problem that the caller receives; TargetError for a fault of the upstream
 */
export function bodyOf<Schema extends TSchema>(schema: Schema, { status, body }: RemoteReply): Static<Schema> {
  if (status === 200 && Value.Check(schema, body)) return body;
  if (status === 200) throw new TargetError('the upstream replies with something other than a vector', '');
  if (status === 401 || status === 403) throw new TargetError('the upstream rejects the API key', `status ${status}`);
  const { code, detail } = problemIn(body);
  if (status === 429 || code === 'overloaded')
    throw new Problem('overloaded', 'The upstream is overloaded. Try again later.', { retry_after_seconds: 1 });
  const refusal = INPUT_REFUSALS.find((own) => own === code);
  if (refusal !== undefined) throw new Problem(refusal, detail ?? 'The upstream refuses this input.');
  if (status < 500) throw cannotForward(`the upstream refuses this input (${status})`);
  throw new TargetError('the upstream fails', `status ${status}, ${code ?? 'no code'}`);
}

/** @throws TargetError for numbers that are not a vector of this model */
export function toVector(numbers: readonly number[], dim: number): Float32Array {
  try {
    return toUnitVector(numbers, dim);
  } catch (error) {
    const detail = `${numbers.length} numbers, and the model has ${dim}`;
    throw new TargetError('the upstream returns vectors of another form', detail, { cause: error });
  }
}

/** The model does not run here, and the upstream cannot embed this input. */
export const cannotForward = (why: string) =>
  new Problem('unavailable', `The model does not run here at the moment, and ${why}.`, { retry_after_seconds: 5 });

function problemIn(body: unknown): { code?: string; detail?: string } {
  if (typeof body !== 'object' || body === null) return {};
  const { code, detail } = body as Record<string, unknown>;
  return {
    ...(typeof code === 'string' ? { code } : {}),
    ...(typeof detail === 'string' ? { detail } : {}),
  };
}
