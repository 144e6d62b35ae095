/**
 * Opens an index by the build in a folder, upserts items, takes a snapshot, and prints what the index then holds, or
 * why it could not be opened.
 *
 *   usage: node modality-child.mjs <build> <dir> <items as JSON>
 */
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const [build, dir, items] = process.argv.slice(2);
const { openFaissStore } = await import(pathToFileURL(path.join(build, 'src/store/faiss/store.js')).href);
const { eachItem } = await import(pathToFileURL(path.join(build, 'src/store/pages.js')).href);
const ignore = () => {};
const errors = [];

async function run() {
  const store = await openFaissStore({
    dir,
    binding: { model: 'test', revision: '1', dim: 16 },
    logger: { info: ignore, warn: ignore, error: (_fields, message) => errors.push(message) },
  });
  try {
    const toAdd = JSON.parse(items).map((item) => ({ ...item, vector: Float32Array.from(item.vector) }));
    if (toAdd.length > 0) {
      await store.upsert(toAdd);
      await store.snapshot();
    }
    const found = [];
    for await (const { id } of eachItem(store)) {
      const { vector, ...item } = await store.get(id);
      const [best] = await store.search(vector, { k: 1, modality: item.modality });
      found.push({ ...item, vector: Array.from(vector), isFound: best?.id === id });
    }
    return { counts: await store.count(), items: found, errors };
  } finally {
    await store.close();
  }
}

process.stdout.write(JSON.stringify(await run().catch((error) => ({ refused: error.message, errors }))));
