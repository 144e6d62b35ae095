import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { type Connection, formOf, putItem, ServiceError } from '../client/index.js';
import { Progress } from './progress.js';

const MEDIA = /\.(jpe?g|png|webp|avif|heic|gif|tiff?|mp4|m4v|mov|webm|mkv|avi)$/i;
/** Metadata of the files of a folder, a JSON object with a `file` on each line. */
const CAPTIONS = 'captions.jsonl';
/** Enough to keep decoding and inference both busy. */
const CONCURRENCY = 4;

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
  const waiting = [...files];
  const work = async () => {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
      const reason = await store(to, folder, file, captions.get(file) ?? {});
      if (reason === undefined) result.stored++;
      else result.refused.push({ file, reason });
      progress.advance();
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

/** @returns why the service refused the file, or undefined when it was stored */
async function store(to: Connection, folder: string, file: string, metadata: object): Promise<string | undefined> {
  const content = new File([await readFile(path.join(folder, file))], path.basename(file));
  try {
    await putItem(to, formOf([content], { id: file, metadata: { filename: file, ...metadata } }));
    return undefined;
  } catch (error) {
    if (error instanceof ServiceError && error.problem.status < 500) return error.message;
    throw error;
  }
}
