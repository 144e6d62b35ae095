/** Summed in double precision, rounded once: the same bits on every path. */
export function innerProduct(query: Float32Array, stored: Float32Array, offset: number): number {
  let sum = 0;
  for (let i = 0; i < query.length; i++) sum += (query[i] as number) * (stored[offset + i] as number);
  return Math.fround(sum);
}
