import { random } from '../random.mjs';

/** The vectors of the benches: the same in every process, without a file between them. */
export const DIM = 256;

/** Uniform numbers in [-0.5, 0.5). */
export function randomFrom(seed) {
  const next = random(seed);
  return () => next() - 0.5;
}

export function unitVector(random) {
  const vector = Float32Array.from({ length: DIM }, random);
  let squares = 0;
  for (const value of vector) squares += value * value;
  const norm = Math.sqrt(squares);
  return vector.map((value) => value / norm);
}

/** Clustered like embeddings are: around one of 1,000 centres, which are the same for every seed. */
export function* embeddings(count, seed = 1) {
  const placing = randomFrom(0);
  const centres = Array.from({ length: 1000 }, () => unitVector(placing));
  const random = randomFrom(seed);
  for (let i = 0; i < count; i++) {
    const centre = centres[Math.floor((random() + 0.5) * centres.length)];
    const vector = centre.map((value) => value + 0.06 * random());
    let squares = 0;
    for (const value of vector) squares += value * value;
    yield vector.map((value) => value / Math.sqrt(squares));
  }
}

/** Near the same centres as what is stored, and none of it. */
export const queries = (count) => [...embeddings(count, 2)];

/** The q-th quantile of some times. */
export function quantile(times, q) {
  const sorted = [...times].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))];
}
