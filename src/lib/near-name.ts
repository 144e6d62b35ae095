/** How many letters of a name may be wrong: two are half of a short one. */
const typosIn = (known: string): number => (known.length < 8 ? 1 : 2);
/** Short names must have the right length: MODE is a word of its own, MODLE is not. */
const isAlike = (name: string, known: string): boolean => known.length > 5 || name.length === known.length;

/** The known name that a misspelt one most likely means; undefined where none is near. */
export function nearName(name: string, known: readonly string[]): string | undefined {
  const alike = known.filter((candidate) => isAlike(name, candidate));
  const distances = alike.map((candidate) => ({ candidate, distance: distanceOf(name, candidate) }));
  const [best] = distances.sort((a, b) => a.distance - b.distance);
  return best !== undefined && best.distance <= typosIn(best.candidate) ? best.candidate : undefined;
}

/**
 * Letters that are missing, added, replaced, or in each other's place (optimal string alignment). Source: L. Boytsov,
 * Indexing methods for approximate dictionary searching, 2011, https://doi.org/10.1145/1963190.1963191.
 */
function distanceOf(a: string, b: string): number {
  let [before, last] = [[] as number[], Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (last[j - 1] as number) + Number(a[i - 1] !== b[j - 1]);
      const swapped = a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] ? (before[j - 2] as number) + 1 : Infinity;
      row.push(Math.min(replaced, (last[j] as number) + 1, (row[j - 1] as number) + 1, swapped));
    }
    [before, last] = [last, row];
  }
  return last[b.length] as number;
}
