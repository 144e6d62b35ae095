import { openAsBlob } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { Command } from 'commander';
import { type Connection, formOf, health, putItems, ServiceError } from '../../client/index.js';
import { connectionOf } from '../connection.js';
import { ProgressBar } from '../progress-bar.js';
import { type FoundFile, findFiles, reasonOf } from './find-files.js';

/** Metadata of the files of a folder: JSON Lines, each with the path of its `file`. */
const CAPTIONS = 'captions.jsonl';
/** Enough to keep decoding and inference both busy. */
const CONCURRENCY = 4;
/** Most files of one request: their items share one write. */
const GROUP_FILES = 16;
const GROUP_BYTES = 8_000_000;

interface Refused {
  file: string;
  reason: string;
}

interface FolderResult {
  stored: number;
  /** Files that cannot be read, or that the service refused, with the reason. */
  refused: Refused[];
  /** How many files of other kinds there are, by extension. */
  others: Map<string, number>;
}

export const command = new Command('index')
  .description('store every image and video of a folder and its subfolders; indexing again replaces them')
  .argument('<folder>', `the folder, or one file; metadata of files are read from its ${CAPTIONS}, where there is one`)
  .action(async (folder: string, _options: object, self: Command) => {
    const { stored, refused, others } = await indexFolder(connectionOf(self), folder);
    for (const { file, reason } of refused) console.error(`refused ${file}: ${reason}`);
    if (others.size > 0) console.error(`passed over files of other kinds: ${countsOf(others)}`);
    console.log(`${stored} stored, ${refused.length} refused`);
    if (refused.length > 0) process.exitCode = 1;
  });

const countsOf = (others: ReadonlyMap<string, number>): string =>
  [...others]
    .sort(([, a], [, b]) => b - a)
    .map(([extension, count]) => `${count} ${extension}`)
    .join(', ');

/** Stores the images and videos of a folder. The id of an item is its path within the folder. */
async function indexFolder(to: Connection, folder: string): Promise<FolderResult> {
  const { files, unreadable, others } = await findFiles(folder);
  others.delete(path.extname(CAPTIONS));
  if (files.length + unreadable.length === 0) throw new Error(`There are no images or videos in ${folder}.`);
  const captions = await readCaptions(folder);
  const { upload_bytes: mostBytes } = (await health(to)).limits;
  const isTooLarge = ({ bytes }: FoundFile) => bytes > mostBytes;
  const tooLarge = files.filter(isTooLarge).map(({ name, bytes }) => ({
    file: name,
    reason: `it has ${Math.ceil(bytes / 1e6)} MB; this service takes at most ${mostBytes / 1e6} MB (MAX_UPLOAD_MB)`,
  }));
  const result: FolderResult = { stored: 0, refused: [...unreadable, ...tooLarge], others };
  const taken = files.filter((file) => !isTooLarge(file));
  const bar = new ProgressBar('indexing', taken.length);
  const queue = groups(taken);
  const work = async () => {
    for (let group = queue.shift(); group !== undefined; group = queue.shift()) {
      const refused = await store(to, group, captions);
      result.stored += group.length - refused.length;
      result.refused.push(...refused);
      bar.advance(group.length);
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, work));
  return result;
}

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
function groups(files: readonly FoundFile[]): FoundFile[][] {
  const grouped: FoundFile[][] = [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const file of files) {
    bytes += file.bytes;
    const last = grouped.at(-1);
    if (last !== undefined && last.length < GROUP_FILES && bytes <= GROUP_BYTES) last.push(file);
    else {
      grouped.push([file]);
      bytes = file.bytes;
    }
  }
  return grouped;
}

/** @returns the files that cannot be read or that the service refused, and why */
async function store(
  to: Connection,
  files: readonly FoundFile[],
  captions: ReadonlyMap<string, object>,
): Promise<Refused[]> {
  const refused: Refused[] = [];
  const sent: { file: FoundFile; content: File }[] = [];
  for (const file of files) {
    try {
      // Read while it is sent, so that its size does not matter.
      sent.push({ file, content: new File([await openAsBlob(file.path)], path.basename(file.name)) });
    } catch (error) {
      refused.push({ file: file.name, reason: reasonOf(error) });
    }
  }
  if (sent.length === 0) return refused;
  const items = sent.map(({ file: { name } }) => ({ id: name, metadata: { filename: name, ...captions.get(name) } }));
  const contents = sent.map(({ content }) => content);
  try {
    const results = await putItems(to, formOf(contents, { items }));
    results.forEach((one, i) => {
      if ('error' in one) refused.push({ file: sent[i]?.file.name ?? '', reason: String(one.error.detail) });
    });
    return refused;
  } catch (error) {
    const [only, ...others] = sent.map(({ file }) => file);
    // A request is refused as a whole when one file breaks a limit: sent alone, each file gets its own answer.
    if (!(error instanceof ServiceError && error.problem.status < 500) || only === undefined) throw error;
    if (others.length === 0) return [...refused, { file: only.name, reason: error.message }];
    const alone = await Promise.all([only, ...others].map((file) => store(to, [file], captions)));
    return [...refused, ...alone.flat()];
  }
}
