/**
 * Opens an index, says what is in it, then writes and deletes from several sides until it is killed.
 * Every line is on its way to the parent before the next step: `writeSync` buffers nothing in this process.
 *
 *   usage: node crash-child.mjs <dir> <first version>
 */
import { writeSync } from 'node:fs';
import { openFaissStore } from '../../../dist/src/store/faiss/store.js';
import { BINDING, IDS_PER_WRITER, itemOf, matches, WRITERS } from './crash-items.mjs';

const [dir, firstVersion] = process.argv.slice(2);
const ignore = () => {};

function tell(line) {
  const bytes = Buffer.from(`${JSON.stringify(line)}\n`);
  for (let written = 0; written < bytes.length; ) {
    try {
      written += writeSync(1, bytes, written);
    } catch (error) {
      // The pipe is full: the parent is busy.
      if (error.code !== 'EAGAIN') throw error;
    }
  }
}

const fail = (_fields, message) => tell({ type: 'error', message });

const store = await openFaissStore({
  dir,
  binding: BINDING,
  logger: { info: ignore, warn: ignore, error: fail },
  snapshotBytes: 20_000,
});

const found = [];
for (let cursor; ; ) {
  const page = await store.list({ limit: 1000, ...(cursor ? { cursor } : {}) });
  for (const { id } of page.items) {
    const item = await store.get(id);
    found.push({ id, version: item.metadata.version, intact: matches(item) });
  }
  cursor = page.nextCursor;
  if (cursor === undefined) break;
}
const [sample] = found;
const best = sample && (await store.search(itemOf(sample.id, sample.version).vector, { k: 1 }));
tell({ type: 'open', found, searchable: !sample || best[0].id === sample.id });

let version = Number(firstVersion);
const pick = (most) => Math.floor(Math.random() * most);

async function write(writer) {
  for (;;) {
    version += 1;
    const ids = [...new Set(Array.from({ length: 1 + pick(8) }, () => `${writer}-${pick(IDS_PER_WRITER)}`))];
    const call = { writer, ids, version: Math.random() < 0.6 ? version : null };
    tell({ type: 'begin', ...call });
    if (call.version === null) await store.delete(ids);
    else await store.upsert(ids.map((id) => itemOf(id, version)));
    tell({ type: 'end', ...call });
  }
}

for (let writer = 0; writer < WRITERS; writer++) void write(writer);
