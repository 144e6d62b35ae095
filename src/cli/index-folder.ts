import { readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { Command } from 'commander';
import { type Connection, formOf, putItems, ServiceError } from '../client/index.js';
import { MEDIA_EXTENSIONS } from '../media/formats.js';
import { connectionOf } from './connection.js';
import { ProgressBar } from './progress-bar.js';

const MEDIA = new RegExp(`\\.(${MEDIA_EXTENSIONS.join('|')})$`, 'i');
/** Metadata of the files of a folder: JSON Lines, each with the path of its `file`. */
const CAPTIONS = 'captions.jsonl';
/** Enough to keep decoding and inference both busy. */
const CONCURRENCY = 4;
/** Most files of one request: their items share one write. */
const GROUP_FILES = 16;
const GROUP_BYTES = 8_000_000;

interface FolderResult {
  stored: number;
  /** Files that the service refused, with its reason. */
  refused: { file: string; reason: string }[];
}

export const command = new Command('index')
  .description('store every image and video of a folder and its subfolders; indexing again replaces them')
  .argument('<folder>', `the folder; metadata of its files are read from its ${CAPTIONS}, where there is one`)
  .action(async (folder: string, _options: object, self: Command) => {
    const { stored, refused } = await indexFolder(connectionOf(self), folder);
    for (const { file, reason } of refused) console.error(`refused ${file}: ${reason}`);
    console.log(`${stored} stored, ${refused.length} refused`);
    if (refused.length > 0) process.exitCode = 1;
  });

/** Stores the images and videos of a folder. The id of an item is its path within the folder. */
async function indexFolder(to: Connection, folder: string): Promise<FolderResult> {
  const files = await mediaFiles(folder);
  if (files.length === 0) throw new Error(`There are no images or videos in ${folder}.`);
  const captions = await readCaptions(folder);
  const bar = new ProgressBar('indexing', files.length);
  const result: FolderResult = { stored: 0, refused: [] };
  const queue = await groups(folder, files);
  const work = async () => {
    for (let group = queue.shift(); group !== undefined; group = queue.shift()) {
      const refused = await store(to, folder, group, captions);
      result.stored += group.length - refused.length;
      result.refused.push(...refused);
      bar.advance(group.length);
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

/** The files in groups for one request each; a large file is a group of its own. */
async function groups(folder: string, files: readonly string[]): Promise<string[][]> {
  const grouped: string[][] = [];
  let bytes = Infinity;
  for (const file of files) {
    const { size } = await stat(path.join(folder, file));
    bytes += size;
    const last = grouped.at(-1);
    if (last !== undefined && last.length < GROUP_FILES && bytes <= GROUP_BYTES) last.push(file);
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
    // A request is refused as a whole when one file breaks a limit: sent alone, each file gets its own answer.
    if (!(error instanceof ServiceError && error.problem.status < 500) || only === undefined) throw error;
    if (others.length === 0) return [{ file: only, reason: error.message }];
    const refused = await Promise.all(files.map((file) => store(to, folder, [file], captions)));
    return refused.flat();
  }
}
