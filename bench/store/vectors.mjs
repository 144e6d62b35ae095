import { random } from '../random.mjs';

/** The vectors of the benchmarks: generated, so that every process has the same ones without a file. */
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

/** Vectors clustered like embeddings: around one of 1,000 centres, which are the same for every seed. */
export function* embeddings(count, seed = 1) {
  const centreRandom = randomFrom(0);
  const centres = Array.from({ length: 1000 }, () => unitVector(centreRandom));
  const random = randomFrom(seed);
  for (let i = 0; i < count; i++) {
    const centre = centres[Math.floor((random() + 0.5) * centres.length)];
    const vector = centre.map((value) => value + 0.06 * random());
    let squares = 0;
    for (const value of vector) squares += value * value;
    yield vector.map((value) => value / Math.sqrt(squares));
  }
}

/** Vectors near the same centres as the stored ones, and different from them. */
export const queries = (count) => [...embeddings(count, 2)];

/** The q-th quantile, q in [0, 1). */
export function quantile(times, q) {
  const sorted = [...times].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))];
}
