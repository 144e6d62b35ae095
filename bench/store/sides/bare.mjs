import { createRequire } from 'node:module';
import { summarise } from '../../load.mjs';
import { residentMB } from '../../resident.mjs';
import { repeat } from '../repeat.mjs';
import { batches } from '../rows.mjs';
import { DIM, queries } from '../vectors.mjs';

const BLOCK_ROWS = 1000;

/** faiss-node as it is. Together, `concurrency` queries are one call. */
export default async function bare(rows, { seconds, asked, k, concurrency }) {
  const faiss = createRequire(import.meta.url)('faiss-node');
  const index = new faiss.IndexFlatIP(DIM);
  for (const batch of batches(0, rows, BLOCK_ROWS)) index.add(batch.flatMap(({ vector }) => Array.from(vector)));
  const vectors = queries(asked).map((vector) => Array.from(vector));
  const { labels } = index.search(vectors.flat(), k);
  const together = vectors.slice(0, concurrency).flat();
  const one = summarise(...repeat(seconds, (i) => index.search(vectors[i % asked], k)));
  const calls = summarise(...repeat(seconds, () => index.search(together, k)));
  return {
    one,
    many: { ...calls, perSecond: concurrency * calls.perSecond },
    residentMB: await residentMB(process.pid),
    top: vectors.map((_, i) => labels.slice(i * k, (i + 1) * k)),
  };
}
