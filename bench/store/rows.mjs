import { embeddings } from './vectors.mjs';

/** The stored rows: every side gives the n-th vector the same id, modality and metadata. */
export const MODALITY = 'image';
export const idOf = (row) => `item-${row}`;
export const rowOf = (id) => Number(id.slice('item-'.length));
export const metadataOf = (row) => ({ row, hundredth: row % 100 });
/** Selects 1 % of the rows. */
export const FILTER = { hundredth: 7 };

/** The rows from `from` up to `until`, in batches of {row, vector}. */
export function* batches(from, until, size) {
  let batch = [];
  let row = -1;
  for (const vector of embeddings(until)) {
    row += 1;
    if (row < from) continue;
    batch.push({ row, vector });
    if (batch.length < size && row + 1 < until) continue;
    yield batch;
    batch = [];
  }
}

/** A vector as JSON, with the nine digits that identify a float32. */
export const toJson = (vector) => `[${Array.from(vector, (value) => value.toPrecision(9)).join()}]`;
