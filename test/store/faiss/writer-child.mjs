/**
 * Opens an index, stores one item, says so, and keeps the index open until it is killed.
 *
 *   usage: node writer-child.mjs <dir> <id>
 */
import { openFaissStore } from '../../../dist/src/store/faiss/store.js';

const [dir, id] = process.argv.slice(2);
const ignore = () => {};
const store = await openFaissStore({
  dir,
  binding: { model: 'test', revision: '1', dim: 16 },
  logger: { info: ignore, warn: ignore, error: console.error },
});
const vector = new Float32Array(16);
vector[0] = 1;
await store.upsert([{ id, modality: 'text', metadata: {}, vector }]);
console.log('stored');
