import type { Index } from 'faiss-node';
import { assert } from '../../../lib/assert.js';
import { faiss } from './faiss-binding.js';

/** How many candidates HNSW keeps while it places a vector, and at least while it looks for one. */
export const HNSW_BREADTH = { construction: 100, search: 100 };

/** What FAISS itself writes into an empty graph: entry point, top level, the two breadths, upper beam. */
const DEFAULTS = [-1, -1, 40, 16, 1];
const BREADTHS_AT = 2;

/**
 * An empty HNSW index with the breadths above. faiss-node has no way to set `efConstruction` and
 * `efSearch`, but both stand in the bytes of an index.
 */
export function withBreadth(empty: Index): Index {
  const bytes = empty.toBuffer();
  const at = numbersAt(bytes);
  const found = DEFAULTS.map((_, i) => bytes.readInt32LE(at + 4 * i));
  assert(String(found) === String(DEFAULTS), 'FAISS writes graphs in another way than it did');
  bytes.writeInt32LE(HNSW_BREADTH.construction, at + 4 * BREADTHS_AT);
  bytes.writeInt32LE(HNSW_BREADTH.search, at + 4 * BREADTHS_AT + 4);
  return faiss.Index.fromBuffer(bytes);
}

/**
 * Where the numbers of a graph start: after "IHNf", dim i32, rows i64, 2 x i64, trained u8, metric i32,
 * and five lists (length u64, then numbers of these many bytes each).
 *
 * Source: write_index_header and write_HNSW in faiss/impl/index_write.cpp (1.7).
 */
function numbersAt(bytes: Buffer): number {
  assert(bytes.toString('latin1', 0, 4) === 'IHNf', 'no HNSW index');
  let at = 37;
  for (const numberBytes of [8, 4, 4, 8, 4]) at += 8 + numberBytes * Number(bytes.readBigUInt64LE(at));
  return at;
}
