import { eachItem } from '../store/pages.js';
import type { VectorStore } from '../store/vector-store.js';

/** Ids that are looked up again: writes continue during the comparison, and one of them may have been under way. */
const MAX_VERIFIED = 1000;

/** The items that `complete` has and `store` does not: their number, and the first of their ids. */
export async function missingItems(
  store: VectorStore,
  complete: VectorStore,
): Promise<{ count: number; ids: string[] }> {
  const missing: string[] = [];
  let count = 0;
  const stored = eachItem(store);
  let next = await stored.next();
  // Both lists are ordered by id.
  for await (const { id } of eachItem(complete)) {
    while (!next.done && next.value.id < id) next = await stored.next();
    if (!next.done && next.value.id === id) continue;
    count++;
    if (missing.length < MAX_VERIFIED) missing.push(id);
  }
  if (count > MAX_VERIFIED) return { count, ids: missing };
  const verified = await Promise.all(
    missing.map(async (id) => {
      const [one, other] = await Promise.all([complete.get(id), store.get(id)]);
      return one !== undefined && other === undefined ? [id] : [];
    }),
  );
  const ids = verified.flat();
  return { count: ids.length, ids };
}
