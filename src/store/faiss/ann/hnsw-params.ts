import type { Index } from 'faiss-node';
import { assert } from '../../../lib/assert.js';
import { faiss } from './faiss-binding.js';

/** Candidates that HNSW keeps while it inserts a vector, and at least while it searches. */
export const HNSW_PARAMS = { efConstruction: 100, efSearch: 100 };

/** What FAISS writes into an empty graph: entry point, top level, efConstruction, efSearch, upper beam. */
const DEFAULTS = [-1, -1, 40, 16, 1];
const EF_CONSTRUCTION = 2;
const EF_SEARCH = 3;

/**
 * Sets `efConstruction` and `efSearch` in an empty HNSW index. faiss-node has no way to set them, but the bytes
 * of an index contain both.
 * @throws Error when FAISS's format is not the one known here
 */
export function withHnswParams(empty: Index, { efConstruction, efSearch } = HNSW_PARAMS): Index {
  const bytes = empty.toBuffer();
  const start = graphNumbersOffset(bytes);
  const offsetOf = (number: number) => start + 4 * number;
  const found = DEFAULTS.map((_, i) => bytes.readInt32LE(offsetOf(i)));
  assert(String(found) === String(DEFAULTS), 'FAISS writes graphs in another way than it did');
  bytes.writeInt32LE(efConstruction, offsetOf(EF_CONSTRUCTION));
  bytes.writeInt32LE(efSearch, offsetOf(EF_SEARCH));
  return faiss.Index.fromBuffer(bytes);
}

/**
 * Where the numbers of a graph start: after "IHNf", dim i32, rows i64, 2 x i64, trained u8, metric i32,
 * and five lists (length u64, then numbers of these many bytes each).
 *
 * Source: write_index_header and write_HNSW in faiss/impl/index_write.cpp (1.7).
 */
function graphNumbersOffset(bytes: Buffer): number {
  assert(bytes.toString('latin1', 0, 4) === 'IHNf', 'no HNSW index');
  let at = 37;
  for (const numberBytes of [8, 4, 4, 8, 4]) at += 8 + numberBytes * Number(bytes.readBigUInt64LE(at));
  return at;
}
