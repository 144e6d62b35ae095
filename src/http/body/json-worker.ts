/** Parses and checks JSON of many values or bytes, in a thread of its own. */
import { setPriority } from 'node:os';
import { serialize } from 'node:v8';
import type { TSchema } from 'typebox';
import { Problem } from '../../common/errors.js';
import { SLOW_WORK_NICENESS } from '../../lib/async/niceness.js';
import { type Refusal, takeRefused } from '../validation/refused.js';
import { violationOf } from '../validation/validator.js';
import { hasMoreValues, parseJson } from './json.js';

export interface Task {
  bytes: Uint8Array;
  /** Of the body, as JSON text. */
  schema: string;
}

/** A body that fits its schema, serialized; a list in slices that each take the main thread some milliseconds. */
export type Checked =
  | { value: Uint8Array; refused: Refusal[] }
  | { slices: Uint8Array[]; refused: Refusal[] }
  | { problem: Pick<Problem, 'code' | 'detail' | 'extensions'> };

/** More values than any request needs: 1,000 items with vectors of 4,096 numbers are sent in two. */
const MAX_VALUES = 2_500_000;
/** What the main thread reads at once: some milliseconds of entries, of bytes too. */
const SLICE_ENTRIES = 16;
const SLICE_BYTES = 500_000;

// Only Linux gives threads a priority of their own; elsewhere this would slow the whole process.
if (process.platform === 'linux') setPriority(SLOW_WORK_NICENESS);

/** The object of each schema: what is compiled for it is found by its identity. */
const schemas = new Map<string, TSchema>();

export default function check({ bytes, schema: text }: Task): Checked {
  const schema = schemas.get(text) ?? (JSON.parse(text) as TSchema);
  schemas.set(text, schema);
  try {
    const value = parse(bytes);
    const problem = violationOf(schema, value);
    if (problem !== undefined) return failure(problem);
    const refused = takeRefused(value);
    if (!Array.isArray(value)) return { value: serialize(value), refused };
    const slices: Uint8Array[] = [];
    const step = Math.max(1, Math.min(SLICE_ENTRIES, Math.floor((value.length * SLICE_BYTES) / bytes.length)));
    for (let i = 0; i < value.length; i += step) slices.push(serialize(value.slice(i, i + step)));
    return { slices, refused };
  } catch (error) {
    if (error instanceof Problem) return failure(error);
    throw error;
  }
}

function parse(bytes: Uint8Array): unknown {
  if (hasMoreValues(bytes, MAX_VALUES))
    throw new Problem('too_large', `The body has more than ${MAX_VALUES} values; send it in several requests.`);
  return parseJson(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
}

const failure = ({ code, detail, extensions }: Problem): Checked => ({ problem: { code, detail, extensions } });
