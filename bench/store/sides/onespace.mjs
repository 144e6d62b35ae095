import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startService } from '../../service.mjs';
import { inOwnProcess } from '../own-process.mjs';
import { idOf, MODALITY, metadataOf, toJson } from '../rows.mjs';

const type = 'application/json';
const POLL_MS = 100;
/** The metric measures the delay with a timer of 10 ms, and includes them. */
const LOOP_TIMER_MS = 10;
const model = JSON.parse(await readFile(new URL('../../../models/onespace-mini/model.json', import.meta.url), 'utf8'));

/** The service with its default settings, apart from the kind of index. */
export const onespace = (index = 'flat') => ({
  start: (dir) => startService({ DATA_DIR: dir, INDEX: index }),

  /** Writes most rows into the folder without HTTP, by the code of the service and as durably. */
  async startFilled(dir, rows) {
    const { name, revision, dim } = model;
    await inOwnProcess('sides/fill.mjs', path.join(dir, 'index', name), { model: name, revision, dim }, rows, index);
    return this.start(dir);
  },

  /** Resolves when the approximate index, where there is one, is in use. */
  async indexReady(url) {
    const isInUse = async () => /^onespace_index_recall_at_10\{/m.test(await (await fetch(`${url}/metrics`)).text());
    while (index !== 'flat' && !(await isInUse())) await sleep(POLL_MS);
  },

  insert(batch) {
    const items = batch.map(({ row, vector }) => {
      const labels = JSON.stringify({ id: idOf(row), modal_type: MODALITY, metadata: metadataOf(row) });
      return `${labels.slice(0, -1)},"embedding":${toJson(vector)}}`;
    });
    return { path: '/items', type, body: `[${items}]` };
  },

  query(vector, k, filter) {
    const rest = JSON.stringify({ top_k: k, ...(filter && { filter }) });
    return { path: '/retrieve', type, body: `{"embedding":${vector},${rest.slice(1)}` };
  },

  ids: ({ results }) => results.map(({ id }) => id),

  /** Reading the metrics starts a new period. @returns a function that ends it: the p99 of the delay in the period */
  async watchLoop(url) {
    const read = async () => {
      const text = await (await fetch(`${url}/metrics`)).text();
      const seconds = Number(/^nodejs_eventloop_lag_p99_seconds (\S+)/m.exec(text)[1]);
      return Math.max(0, 1000 * seconds - LOOP_TIMER_MS);
    };
    await read();
    return read;
  },
});
