import { createRequire } from 'node:module';
import { summarise } from '../../load.mjs';
import { residentMB } from '../../resident-memory.mjs';
import { repeat } from '../repeat.mjs';
import { batches } from '../rows.mjs';
import { DIM, queries } from '../vectors.mjs';

const BLOCK_ROWS = 1000;

/** faiss-node alone. `many` searches `concurrency` queries in one call. */
export default async function bare(rows, { seconds, queryCount, k, concurrency }) {
  const faiss = createRequire(import.meta.url)('faiss-node');
  const index = new faiss.IndexFlatIP(DIM);
  for (const batch of batches(0, rows, BLOCK_ROWS)) index.add(batch.flatMap(({ vector }) => Array.from(vector)));
  const vectors = queries(queryCount).map((vector) => Array.from(vector));
  const { labels } = index.search(vectors.flat(), k);
  const batch = vectors.slice(0, concurrency).flat();
  const one = summarise(...repeat(seconds, (i) => index.search(vectors[i % queryCount], k)));
  const calls = summarise(...repeat(seconds, () => index.search(batch, k)));
  return {
    one,
    many: { ...calls, perSecond: concurrency * calls.perSecond },
    residentMB: await residentMB(process.pid),
    topK: vectors.map((_, i) => labels.slice(i * k, (i + 1) * k)),
  };
}
