import { readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { type Connection, formOf, putItems, ServiceError } from '../client/index.js';
import { MEDIA_EXTENSIONS } from '../media/formats.js';
import { Progress } from './progress-bar.js';

const MEDIA = new RegExp(`\\.(${MEDIA_EXTENSIONS.join('|')})$`, 'i');
/** Metadata of the files of a folder, a JSON object with a `file` on each line. */
const CAPTIONS = 'captions.jsonl';
/** Enough to keep decoding and inference both busy. */
const CONCURRENCY = 4;
/** Files of one request: their items share one write. */
const TOGETHER = 16;
const TOGETHER_BYTES = 8_000_000;

export interface FolderResult {
  stored: number;
  /** What was refused, with the service's reason. */
  refused: { file: string; reason: string }[];
}

/**
 * Stores every picture and clip of a folder and its subfolders. An item's id is its path within the folder,
 * so indexing again replaces instead of doubling.
 */
export async function indexFolder(to: Connection, folder: string): Promise<FolderResult> {
  const files = await mediaFiles(folder);
  if (files.length === 0) throw new Error(`There are no pictures or clips in ${folder}.`);
  const captions = await readCaptions(folder);
  const progress = new Progress('indexing', files.length);
  const result: FolderResult = { stored: 0, refused: [] };
  const waiting = await groups(folder, files);
  const work = async () => {
    for (let group = waiting.shift(); group !== undefined; group = waiting.shift()) {
      const refused = await store(to, folder, group, captions);
      result.stored += group.length - refused.length;
      result.refused.push(...refused);
      progress.advance(group.length);
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, work));
  return result;
}

async function mediaFiles(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && MEDIA.test(entry.name))
    .map((entry) =>
      path.relative(folder, path.join(entry.parentPath ?? entry.path, entry.name)).replaceAll(path.sep, '/'),
    )
    .sort();
}

async function readCaptions(folder: string): Promise<Map<string, object>> {
  const lines = await readFile(path.join(folder, CAPTIONS), 'utf8').catch(() => '');
  const rows = lines.split('\n').filter((line) => line !== '');
  return new Map(
    rows.map((line) => {
      const { file, modal_type: _, ...metadata } = JSON.parse(line) as { file: string; modal_type?: string };
      return [file, metadata];
    }),
  );
}

/** The files in groups that one request may bring; a large one is alone. */
async function groups(folder: string, files: readonly string[]): Promise<string[][]> {
  const grouped: string[][] = [];
  let bytes = Infinity;
  for (const file of files) {
    const { size } = await stat(path.join(folder, file));
    bytes += size;
    const last = grouped.at(-1);
    if (last !== undefined && last.length < TOGETHER && bytes <= TOGETHER_BYTES) last.push(file);
    else {
      grouped.push([file]);
      bytes = size;
    }
  }
  return grouped;
}

/** @returns the files that the service refused, and why */
async function store(
  to: Connection,
  folder: string,
  files: readonly string[],
  captions: ReadonlyMap<string, object>,
): Promise<FolderResult['refused']> {
  const contents = await Promise.all(
    files.map(async (file) => new File([await readFile(path.join(folder, file))], path.basename(file))),
  );
  const items = files.map((file) => ({ id: file, metadata: { filename: file, ...captions.get(file) } }));
  try {
    const results = await putItems(to, formOf(contents, { items }));
    return results.flatMap((one, i) =>
      'error' in one ? [{ file: files[i] as string, reason: String(one.error.detail) }] : [],
    );
  } catch (error) {
    const [only, ...others] = files;
    // What is refused as a whole is refused for one of them: alone, each has its answer.
    if (!(error instanceof ServiceError && error.problem.status < 500) || only === undefined) throw error;
    if (others.length === 0) return [{ file: only, reason: error.message }];
    const refused = await Promise.all(files.map((file) => store(to, folder, [file], captions)));
    return refused.flat();
  }
}
