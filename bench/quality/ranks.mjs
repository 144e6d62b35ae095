/** Measures of retrieval, in percent. Vectors are unit vectors, so that their inner product is the cosine. */

const dot = (a, b) => {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
};

/**
 * The best `k` of a gallery for a query, best first.
 * @returns {number[]} places in the gallery
 */
export function nearest(query, gallery, k, leftOut = -1) {
  const scored = gallery.map((vector, place) => [place === leftOut ? -2 : dot(query, vector), place]);
  return scored
    .sort((a, b) => b[0] - a[0])
    .slice(0, k)
    .map(([, place]) => place);
}

/**
 * R@k: how many queries have a right answer among the first k.
 * @param isRight (query, place in the gallery)
 */
export function recallAt(ks, queries, gallery, isRight) {
  const longest = Math.max(...ks);
  const found = ks.map(() => 0);
  for (const [i, query] of queries.entries()) {
    const rank = nearest(query, gallery, longest).findIndex((place) => isRight(i, place));
    for (const [n, k] of ks.entries()) if (rank !== -1 && rank < k) found[n]++;
  }
  return found.map((count) => (100 * count) / queries.length);
}

/** P@k: how many of the first k of each query, itself left out, are right. */
export function precisionAt(k, vectors, isRight) {
  let right = 0;
  for (const [i, query] of vectors.entries())
    right += nearest(query, vectors, k, i).filter((place) => isRight(i, place)).length / k;
  return (100 * right) / vectors.length;
}
