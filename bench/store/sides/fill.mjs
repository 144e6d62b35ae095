import { openFaissStore } from '../../../dist/src/store/faiss/store.js';
import { batches, idOf, MODALITY, metadataOf } from '../rows.mjs';

const BATCH_ROWS = 1000;
const ignore = () => {};

/** Writes the index folder of a service that is not running, its approximate index included. */
export default async function fill(dir, binding, rows, index) {
  const logger = { info: ignore, warn: console.error, error: console.error };
  const options = { dir, binding, logger };
  const store = await openFaissStore(options);
  for (const batch of batches(0, rows, BATCH_ROWS))
    await store.upsert(
      batch.map(({ row, vector }) => ({ id: idOf(row), modality: MODALITY, metadata: metadataOf(row), vector })),
    );
  if (index !== 'flat') await store.snapshot();
  await store.close();
  if (index !== 'flat') await build({ ...options, approximateIndex: { kind: index } });
}

async function build(options) {
  const store = await openFaissStore(options);
  await store.idle();
  await store.close();
}
