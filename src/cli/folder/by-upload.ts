import { openAsBlob } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import {
  type Connection,
  formOf,
  getItem,
  health,
  listItems,
  putItems,
  type RefusedFile,
  ServiceError,
} from '../../client/index.js';
import { markOf } from '../../inputs/file-mark.js';
import { mapConcurrent } from '../../lib/async/map-concurrent.js';
import { type FoundFile, findFiles, reasonOf } from '../../media/find-files.js';
import { isVideoName } from '../../media/formats.js';
import { ProgressBar } from '../progress-bar.js';
import { emptyReport, type IndexReport } from './report.js';

/** Metadata of the files of a folder: JSON Lines, each with the path of its `file`. */
export const CAPTIONS = 'captions.jsonl';
/** Enough to keep decoding and inference both busy. */
const CONCURRENCY = 4;
/** Most files of one request: their items share one write. */
const GROUP_FILES = 16;
const GROUP_BYTES = 8_000_000;

/** A file and the metadata of its item. */
interface Entry {
  file: FoundFile;
  metadata: Record<string, unknown>;
}

/**
 * Sends the images and videos of a folder that the service does not have yet. The id of an item is its path within the
 * folder.
 */
export async function indexByUpload(
  to: Connection,
  folder: string,
  { isForAll, isDryRun }: { isForAll: boolean; isDryRun: boolean },
): Promise<IndexReport> {
  const { files, unreadable, others } = await findFiles(folder);
  others.delete(path.extname(CAPTIONS));
  if (files.length + unreadable.length === 0) throw new Error(`There are no images or videos in ${folder}.`);
  const captions = await readCaptions(folder);
  const { upload_bytes: mostOfImage, stored_video_bytes: mostOfVideo } = (await health(to)).limits;
  // Services of earlier versions have one limit for both.
  const mostOf = ({ name }: FoundFile) => (isVideoName(name) ? (mostOfVideo ?? mostOfImage) : mostOfImage);
  const isTooLarge = (file: FoundFile) => file.bytes > mostOf(file);
  const tooLarge = files.filter(isTooLarge).map((file) => ({
    file: file.name,
    reason: `it has ${Math.ceil(file.bytes / 1e6)} MB; this service takes at most ${mostOf(file) / 1e6} MB (${isVideoName(file.name) ? 'MAX_STORED_MB' : 'MAX_UPLOAD_MB'})`,
  }));
  const report: IndexReport = { ...emptyReport(), refused: [...unreadable, ...tooLarge], others };
  const entries = files.filter((file) => !isTooLarge(file)).map((file) => toEntry(file, captions));
  const known = isForAll ? new Map<string, object>() : await knownItems(to, entries);
  const changed = entries.filter(({ file, metadata }) => !hasAll(known.get(file.name), metadata));
  report.unchanged = entries.length - changed.length;
  if (isDryRun) return { ...report, stored: changed.length };
  const bar = new ProgressBar('indexing', changed.length);
  const queue = groups(changed);
  const work = async () => {
    for (let group = queue.shift(); group !== undefined; group = queue.shift()) {
      const refused = await store(to, group);
      report.stored += group.length - refused.length;
      report.refused.push(...refused);
      bar.advance(group.length);
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, work));
  return report;
}

/** What tells later whether the file has changed is stored with it. */
function toEntry(file: FoundFile, captions: ReadonlyMap<string, object>): Entry {
  const { path: filename, ...mark } = markOf({ ...file, path: file.name });
  return { file, metadata: { filename, ...mark, ...captions.get(file.name) } };
}

/** Up to this many files each is asked for by its id; for more the whole list is read. */
const FEW_FILES = 500;
const ASKED_AT_ONCE = 8;

/** The metadata of the items that the files may be already. */
async function knownItems(to: Connection, entries: readonly Entry[]): Promise<Map<string, object>> {
  const known = new Map<string, object>();
  if (entries.length <= FEW_FILES) {
    const outcomes = await mapConcurrent(entries, ASKED_AT_ONCE, async ({ file: { name } }) => {
      const item = await getItem(to, name).catch((error: unknown) => {
        if (error instanceof ServiceError && error.problem.status < 500) return undefined;
        throw error;
      });
      if (item !== undefined) known.set(name, item.metadata);
    });
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
    return known;
  }
  const names = new Set(entries.map(({ file }) => file.name));
  for await (const { id, metadata } of listItems(to, { limit: 1000 })) if (names.has(id)) known.set(id, metadata);
  return known;
}

/** Whether stored metadata have all that is to be stored. */
const hasAll = (stored: object | undefined, metadata: Entry['metadata']): boolean =>
  stored !== undefined &&
  Object.entries(metadata).every(([name, value]) => isDeepStrictEqual((stored as Entry['metadata'])[name], value));

async function readCaptions(folder: string): Promise<Map<string, object>> {
  const text = await readFile(path.join(folder, CAPTIONS), 'utf8').catch(() => '');
  // Editors of Windows begin a file with a byte order mark.
  const lines = text.replace(/^\ufeff/, '').split('\n');
  const captions = new Map<string, object>();
  lines.forEach((line, i) => {
    if (line.trim() === '') return;
    try {
      const { file, modal_type: _, ...metadata } = JSON.parse(line) as { file: string; modal_type?: string };
      captions.set(file, metadata);
    } catch (cause) {
      throw new Error(`Line ${i + 1} of ${CAPTIONS} is not a JSON object.`, { cause });
    }
  });
  return captions;
}

/** The files in groups for one request each; a large file is a group of its own. */
function groups(entries: readonly Entry[]): Entry[][] {
  const grouped: Entry[][] = [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const entry of entries) {
    bytes += entry.file.bytes;
    const last = grouped.at(-1);
    if (last !== undefined && last.length < GROUP_FILES && bytes <= GROUP_BYTES) last.push(entry);
    else {
      grouped.push([entry]);
      bytes = entry.file.bytes;
    }
  }
  return grouped;
}

/** @returns the files that cannot be read or that the service refused, and why */
async function store(to: Connection, entries: readonly Entry[]): Promise<RefusedFile[]> {
  const refused: RefusedFile[] = [];
  const sent: { entry: Entry; content: File }[] = [];
  for (const entry of entries) {
    const { path: place, name } = entry.file;
    try {
      // Read while it is sent, so that its size does not matter.
      sent.push({ entry, content: new File([await openAsBlob(place)], path.basename(name)) });
    } catch (error) {
      refused.push({ file: name, reason: reasonOf(error) });
    }
  }
  if (sent.length === 0) return refused;
  const items = sent.map(({ entry: { file, metadata } }) => ({ id: file.name, metadata }));
  const contents = sent.map(({ content }) => content);
  try {
    const results = await putItems(to, formOf(contents, { items }));
    results.forEach((one, i) => {
      if ('error' in one) refused.push({ file: items[i]?.id ?? '', reason: String(one.error.detail) });
    });
    return refused;
  } catch (error) {
    const [only, ...others] = sent.map(({ entry }) => entry);
    // A request is refused as a whole when one file breaks a limit: sent alone, each file gets its own answer.
    if (!(error instanceof ServiceError && error.problem.status < 500) || only === undefined) throw error;
    if (others.length === 0) return [...refused, { file: only.file.name, reason: error.message }];
    const alone = await Promise.all([only, ...others].map((entry) => store(to, [entry])));
    return [...refused, ...alone.flat()];
  }
}
