import { mkdir, readdir, readFile, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { Problem } from '../../common/errors.js';
import { assert } from '../../lib/assert.js';
import { errorCode, syncDir, writeFileAtomically } from '../../lib/fs.js';
import type { Logger } from '../../lib/logger.js';
import type { ModelBinding } from '../vector-store.js';
import { Collection } from './segment/collection.js';
import { isLeftover, layout, parseName } from './snapshot/layout.js';
import { loadSnapshot } from './snapshot/reader.js';
import { Journal, readJournal } from './wal/wal.js';

const FORMAT = 1;

export interface Recovered {
  collection: Collection;
  /** The newest journal, ready to be continued. */
  journal: Journal;
  /** Of the newest journal. */
  generation: number;
  /** Of the snapshot served from; 0 where there is none. */
  baseGeneration: number;
  /** Journal bytes that no snapshot holds yet. */
  journalBytes: number;
}

/**
 * Opens an index folder that this process has locked: the newest right snapshot, then every
 * journal since. A new folder becomes an empty index.
 *
 * @throws Problem `index_model_mismatch` when its vectors are another model's
 * @throws Error when acknowledged writes cannot be read back; nothing in the folder is changed then
 */
export async function recover(dir: string, binding: ModelBinding, log: Logger): Promise<Recovered> {
  await removeLeftovers(dir);
  if (!(await checkBinding(dir, binding))) await createIndex(dir, binding);
  const { snapshots, journals } = await generations(dir);
  const newest = Math.max(...journals, ...snapshots);
  for (const generation of [...snapshots, 0]) {
    if (!isChain(journals, generation, newest)) continue;
    const start = await loadGeneration(dir, generation, binding.dim, log);
    if (start !== undefined) return await replay(dir, start, generation, newest, log);
  }
  throw new Error(
    'index: no snapshot of the index can be read together with the journals after it. Restore the folder from a backup; it has been left as it is.',
  );
}

interface Start {
  collection: Collection;
  lastSequence: number;
}

async function loadGeneration(dir: string, generation: number, dim: number, log: Logger): Promise<Start | undefined> {
  const scratch = layout(dir).scratch;
  if (generation === 0) return { collection: Collection.empty(dim, scratch), lastSequence: 0 };
  try {
    const loaded = await loadSnapshot(layout(dir).snapshot(generation), dim);
    return { collection: Collection.fromSnapshot(dim, loaded, scratch), lastSequence: loaded.lastSequence };
  } catch (error) {
    log.error(
      { err: error, generation },
      'index: a snapshot is damaged; falling back to the one before it and the journals since. Check the disk.',
    );
    return undefined;
  }
}

async function replay(
  dir: string,
  { collection, lastSequence }: Start,
  baseGeneration: number,
  newest: number,
  log: Logger,
): Promise<Recovered> {
  let end = { bytes: 0, sequence: lastSequence };
  let journalBytes = 0;
  for (let generation = baseGeneration; generation <= newest; generation++) {
    const from = { lastSequence: end.sequence, newest: generation === newest };
    const reading = await readJournal(layout(dir).journal(generation), from, (payload) => collection.apply(payload));
    if (reading.tornBytes > 0)
      log.warn(
        { generation, tornBytes: reading.tornBytes },
        'index: dropped a write that was cut off by a crash before it was acknowledged',
      );
    end = reading.end;
    journalBytes += end.bytes;
  }
  const journal = await Journal.resume(layout(dir).journal(newest), end);
  return { collection, journal, generation: newest, baseGeneration, journalBytes };
}

const isChain = (journals: readonly number[], from: number, to: number): boolean => {
  for (let generation = from; generation <= to; generation++) if (!journals.includes(generation)) return false;
  return true;
};

/** Newest first. */
async function generations(dir: string): Promise<{ snapshots: number[]; journals: number[] }> {
  const names = (await readdir(dir)).flatMap((name) => parseName(name) ?? []);
  const of = (kind: string) =>
    names
      .filter((name) => name.kind === kind)
      .map(({ generation }) => generation)
      .sort((a, b) => b - a);
  return { snapshots: of('snapshot'), journals: of('journal') };
}

async function removeLeftovers(dir: string): Promise<void> {
  const names = (await readdir(dir)).filter(isLeftover);
  for (const name of names) await rm(path.join(dir, name), { recursive: true, force: true });
}

/** @returns false when there is no index yet */
async function checkBinding(dir: string, binding: ModelBinding): Promise<boolean> {
  const text = await readFile(layout(dir).index, 'utf8').catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  });
  if (text === undefined) return false;
  const { format, ...found } = JSON.parse(text) as ModelBinding & { format: number };
  assert(format === FORMAT, `the index has format ${format}, which this version does not read`);
  if (found.model === binding.model && found.revision === binding.revision && found.dim === binding.dim) return true;
  throw new Problem(
    'index_model_mismatch',
    `The index holds vectors of ${describe(found)}, but the service runs ${describe(binding)}. ` +
      'Run the model it was made with; or stop the service and run "onespace reindex", which embeds again what ' +
      'KEEP_ORIGINALS has kept; or set DATA_DIR to another folder and index the originals again.',
    { found, expected: binding },
  );
}

const describe = ({ model, revision, dim }: ModelBinding): string =>
  `${model} (revision ${revision}, ${dim} dimensions)`;

/** index.json comes last: until it is there, an empty journal is all a crash can leave. */
async function createIndex(dir: string, binding: ModelBinding): Promise<void> {
  const { journals, snapshots } = await generations(dir);
  const first = layout(dir).journal(0);
  const bytes = journals.length === 0 ? 0 : (await stat(first)).size;
  assert(
    snapshots.length === 0 && journals.length <= 1 && bytes === 0,
    'the folder holds an index without its index.json',
  );
  await rm(first, { force: true });
  await (await Journal.create(first, 0)).close();
  await syncDir(dir);
  await writeFileAtomically(layout(dir).index, `${JSON.stringify({ format: FORMAT, ...binding })}\n`);
}

/** Creates the folder, and its name in the folder above, durably. */
export async function ensureDir(dir: string): Promise<void> {
  const created = await mkdir(dir, { recursive: true });
  if (created !== undefined) await syncDir(path.dirname(created));
}
