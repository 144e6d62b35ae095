import { Problem } from './errors.js';

/** Vectors shorter than this have no direction worth the name. */
const MIN_NORM = 1e-6;

/**
 * A caller's numbers as a unit vector of `dim`: they are scaled to norm 1, so that scores stay inner products
 * in [-1, 1] whatever was sent.
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

/** `Math.hypot` copes with numbers whose squares overflow, and takes ten times as long. */
function normOf(numbers: readonly number[]): number {
  let squares = 0;
  for (const x of numbers) squares += x * x;
  const norm = Math.sqrt(squares);
  return norm > MIN_NORM && norm < Number.MAX_VALUE ? norm : Math.hypot(...numbers);
}

/**
 * The first `length` numbers of a vector, on the unit sphere again. It means something where the model was
 * trained for that length (Kusupati et al. 2022, Matryoshka Representation Learning).
 */
export function shorten(vector: Float32Array, length: number): Float32Array {
  return length === vector.length ? vector : toUnitVector(Array.from(vector.subarray(0, length)), length);
}

/** The vector as OpenAI's base64 encodes it: float32, least byte first. */
export function toBase64(vector: Float32Array): string {
  const bytes = Buffer.alloc(vector.length * 4);
  for (const [i, x] of vector.entries()) bytes.writeFloatLE(x, i * 4);
  return bytes.toString('base64');
}

/** Summed in double precision, rounded once: the same bits on every path. */
export function innerProduct(query: Float32Array, stored: Float32Array, offset: number): number {
  let sum = 0;
  for (let i = 0; i < query.length; i++) sum += (query[i] as number) * (stored[offset + i] as number);
  return Math.fround(sum);
}
