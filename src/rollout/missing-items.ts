import { eachItem } from '../store/pages.js';
import type { VectorStore } from '../store/vector-store.js';

/** So many ids are looked up once more: writes go on meanwhile, and one may have been on its way. */
const VERIFIED = 1000;

/** The items that `complete` has and `store` lacks: how many, and the first of them. */
export async function lackingIn(store: VectorStore, complete: VectorStore): Promise<{ count: number; ids: string[] }> {
  const lacking: string[] = [];
  let count = 0;
  const there = eachItem(store);
  let next = await there.next();
  // Both lists are in order of id.
  for await (const { id } of eachItem(complete)) {
    while (!next.done && next.value.id < id) next = await there.next();
    if (!next.done && next.value.id === id) continue;
    count++;
    if (lacking.length < VERIFIED) lacking.push(id);
  }
  if (count > VERIFIED) return { count, ids: lacking };
  const verified = await Promise.all(
    lacking.map(async (id) => {
      const [one, other] = await Promise.all([complete.get(id), store.get(id)]);
      return one !== undefined && other === undefined ? [id] : [];
    }),
  );
  const ids = verified.flat();
  return { count: ids.length, ids };
}
