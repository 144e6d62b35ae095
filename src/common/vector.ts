import { Problem } from './errors.js';

/** Vectors with a smaller norm have no usable direction. */
const MIN_NORM = 1e-6;

/**
 * The numbers of a request as a unit vector `[dim]`: scaled to norm 1, so that scores are inner products in [-1, 1].
 * @throws Problem `wrong_dimension` or `not_normalizable`
 */
export function toUnitVector(numbers: readonly number[], dim: number): Float32Array {
  if (numbers.length !== dim) {
    const detail = `The embedding has ${numbers.length} numbers; this model's vectors have ${dim}.`;
    throw new Problem('wrong_dimension', detail, { received: numbers.length, expected: dim });
  }
  const norm = normOf(numbers);
  if (!(norm > MIN_NORM && norm < Number.MAX_VALUE)) {
    throw new Problem('not_normalizable', 'The embedding has no direction: its norm must be positive and finite.');
  }
  const vector = new Float32Array(dim);
  for (let i = 0; i < dim; i++) vector[i] = (numbers[i] as number) / norm;
  return vector;
}

/** `Math.hypot` is right for numbers whose squares overflow, but takes ten times as long. */
function normOf(numbers: readonly number[]): number {
  let squares = 0;
  for (const x of numbers) squares += x * x;
  const norm = Math.sqrt(squares);
  return norm > MIN_NORM && norm < Number.MAX_VALUE ? norm : Math.hypot(...numbers);
}

/**
 * The first `length` numbers of a vector, scaled to norm 1. Meaningful only where the model was trained for that
 * length. Source: Kusupati et al. 2022, Matryoshka Representation Learning, https://arxiv.org/abs/2205.13147.
 * @throws Problem `not_normalizable`
 */
export function shorten(vector: Float32Array, length: number): Float32Array {
  return length === vector.length ? vector : toUnitVector(Array.from(vector.subarray(0, length)), length);
}

/** The vector as OpenAI's base64 encodes it: float32, little-endian. */
export function toBase64(vector: Float32Array): string {
  const bytes = Buffer.alloc(vector.length * 4);
  for (const [i, x] of vector.entries()) bytes.writeFloatLE(x, i * 4);
  return bytes.toString('base64');
}

/** A unit vector computed in float32 has a norm this close to 1. */
export const UNIT_NORM_TOLERANCE = 1e-3;

/** Whether a vector has norm 1, as far as float32 can tell; false for NaN. */
export function isUnitVector(vector: Float32Array): boolean {
  let squares = 0;
  for (const value of vector) squares += value * value;
  return Math.abs(Math.sqrt(squares) - 1) <= UNIT_NORM_TOLERANCE;
}

/**
 * Inner product of `query` and the numbers of `stored` from `offset` on. Summed in double precision and rounded to
 * float32 once, so that every way to search gives the same bits.
 */
export function innerProduct(query: Float32Array, stored: Float32Array, offset: number): number {
  let sum = 0;
  for (let i = 0; i < query.length; i++) sum += (query[i] as number) * (stored[offset + i] as number);
  return Math.fround(sum);
}

/** Nine decimals keep every significant bit of a float32 in [-1, 1], in half the characters. */
export const toDecimal = (x: number): number => Math.round(x * 1e9) / 1e9;

/** A vector as JSON numbers. */
export const toDecimals = (vector: Float32Array): number[] => Array.from(vector, toDecimal);
