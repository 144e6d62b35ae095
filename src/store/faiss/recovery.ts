import { readdir, readFile, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { Problem } from '../../common/errors.js';
import { assert } from '../../lib/assert.js';
import { errorCode, syncDir, syncPath, writeFileAtomically } from '../../lib/fs.js';
import type { Logger } from '../../lib/log/logger.js';
import type { IndexEvents } from '../events.js';
import type { ModelBinding } from '../vector-store.js';
import { NewerFormatError } from './newer-format.js';
import { Collection } from './segment/collection.js';
import { isLeftover, layout, parseName, snapshotLayout } from './snapshot/layout.js';
import { loadSnapshot } from './snapshot/reader.js';
import { readWal, WriteAheadLog } from './wal/wal.js';

const FORMAT = 1;

export interface Recovered {
  collection: Collection;
  /** The newest write-ahead log, open for writing. */
  wal: WriteAheadLog;
  /** Of the newest write-ahead log. */
  generation: number;
  /** Of the snapshot served from; 0 where there is none. */
  snapshotGeneration: number;
  /** When that snapshot was written, in ms since 1970; undefined where there is none. */
  snapshotAtMs: number | undefined;
  /** Write-ahead log bytes that no snapshot holds yet. */
  walBytes: number;
}

/**
 * Opens an index folder that this process has locked: the newest undamaged snapshot, then every write-ahead log
 * since. A new folder becomes an empty index.
 *
 * @throws Problem `index_model_mismatch` when its vectors are another model's
 * @throws Error when acknowledged writes cannot be read back; the folder then stays as it is
 */
export async function recover(
  dir: string,
  binding: ModelBinding,
  log: Logger,
  onReplay?: IndexEvents['onReplay'],
): Promise<Recovered> {
  await removeLeftovers(dir);
  if (!(await checkBinding(dir, binding))) await createIndex(dir, binding);
  const { snapshots, logs } = await generations(dir);
  const newest = Math.max(...logs, ...snapshots);
  for (const generation of [...snapshots, 0]) {
    if (!isChain(logs, generation, newest)) continue;
    const start = await loadGeneration(dir, generation, binding.dim, log);
    if (start === undefined) continue;
    try {
      // A process that was killed may have left names that are not on the disk yet.
      await syncDir(dir);
      return await replay(dir, start, { generation, newest, snapshots }, log, onReplay);
    } catch (error) {
      start.collection.close();
      throw error;
    }
  }
  throw new Error(
    'index: no snapshot of the index can be read together with the write-ahead logs after it. Restore the folder from a backup; it has been left as it is.',
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
    if (error instanceof NewerFormatError) throw error;
    log.error(
      { err: error, generation },
      'index: a snapshot is damaged; falling back to the one before it and the write-ahead logs since. Check the disk.',
    );
    return undefined;
  }
}

async function replay(
  dir: string,
  { collection, lastSequence }: Start,
  { generation: first, newest, snapshots }: { generation: number; newest: number; snapshots: readonly number[] },
  log: Logger,
  onReplay: IndexEvents['onReplay'] = () => {},
): Promise<Recovered> {
  const lastWritten = await lastWrittenWal(dir, first, newest);
  let end = { bytes: 0, sequence: lastSequence };
  let walBytes = 0;
  let totalBytes = 0;
  for (let generation = first; generation <= newest; generation++)
    totalBytes += (await stat(layout(dir).wal(generation))).size;
  const report = reportPercents(totalBytes, onReplay);
  for (let generation = first; ; generation++) {
    const file = layout(dir).wal(generation);
    // A snapshot after a log says that the log was complete.
    const mayBeTorn = generation >= lastWritten && !snapshots.some((snapshot) => snapshot > generation);
    const from = { lastSequence: end.sequence, mayBeTorn };
    const reading = await readWal(file, from, (payload) => {
      collection.apply(payload);
      report(payload.length);
    });
    if (reading.tornBytes > 0)
      log.warn(
        { generation, tornBytes: reading.tornBytes },
        'index: dropped a write that a crash tore before it was acknowledged',
      );
    end = reading.end;
    walBytes += end.bytes;
    const wal = await WriteAheadLog.resume(file, end);
    if (generation < newest) {
      await wal.close();
      continue;
    }
    const snapshotAtMs = await snapshotTime(dir, first);
    return { collection, wal, generation: newest, snapshotGeneration: first, snapshotAtMs, walBytes };
  }
}

async function snapshotTime(dir: string, generation: number): Promise<number | undefined> {
  if (generation === 0) return undefined;
  return (await stat(snapshotLayout(layout(dir).snapshot(generation)).manifest)).mtimeMs;
}

/** Counts bytes, and reports each whole percent of their total once. */
function reportPercents(total: number, onReplay: NonNullable<IndexEvents['onReplay']>): (bytes: number) => void {
  let [done, reported] = [0, 0];
  return (bytes) => {
    done += bytes;
    const percent = Math.floor((100 * done) / total);
    if (percent > reported) onReplay({ ratio: percent / 100 });
    reported = percent;
  };
}

/** The newest log with a byte in it: those after it were created when it could not be left, and it was continued. */
async function lastWrittenWal(dir: string, first: number, newest: number): Promise<number> {
  for (let generation = newest; generation > first; generation--)
    if ((await stat(layout(dir).wal(generation))).size > 0) return generation;
  return first;
}

const isChain = (logs: readonly number[], from: number, to: number): boolean => {
  for (let generation = from; generation <= to; generation++) if (!logs.includes(generation)) return false;
  return true;
};

/** The generations in the folder, newest first. */
async function generations(dir: string): Promise<{ snapshots: number[]; logs: number[] }> {
  const names = (await readdir(dir)).flatMap((name) => parseName(name) ?? []);
  const of = (kind: string) =>
    names
      .filter((name) => name.kind === kind)
      .map(({ generation }) => generation)
      .sort((a, b) => b - a);
  return { snapshots: of('snapshot'), logs: of('wal') };
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
  const { format, ...found } = parseIndexFile(text);
  if (format !== FORMAT)
    throw new NewerFormatError(`the index has format ${format}, and this version reads format ${FORMAT}`);
  if (found.model === binding.model && found.revision === binding.revision && found.dim === binding.dim) return true;
  throw new Problem(
    'index_model_mismatch',
    `The index holds vectors of ${describe(found)}, but the service runs ${describe(binding)}. ` +
      'Run the model that made it; or stop the service and run "onespace reindex", which embeds again what ' +
      'KEEP_ORIGINALS has kept; or set DATA_DIR to another folder and index the originals again.',
    { found, expected: binding },
  );
}

function parseIndexFile(text: string): ModelBinding & { format: number } {
  try {
    return JSON.parse(text) as ModelBinding & { format: number };
  } catch (error) {
    throw new Error('index: index.json is damaged. Restore the folder from a backup; it has been left as it is.', {
      cause: error,
    });
  }
}

const describe = ({ model, revision, dim }: ModelBinding): string =>
  `${model} (revision ${revision}, ${dim} dimensions)`;

/** index.json is written last: until then, a crash can leave nothing but an empty write-ahead log. */
async function createIndex(dir: string, binding: ModelBinding): Promise<void> {
  const { logs, snapshots } = await generations(dir);
  const first = layout(dir).wal(0);
  const bytes = logs.length === 0 ? 0 : (await stat(first)).size;
  assert(snapshots.length === 0 && logs.length <= 1 && bytes === 0, 'the folder holds an index without its index.json');
  await rm(first, { force: true });
  await (await WriteAheadLog.create(first, 0)).close();
  await syncDir(dir);
  await syncPath(dir);
  await writeFileAtomically(layout(dir).index, `${JSON.stringify({ format: FORMAT, ...binding })}\n`);
}
