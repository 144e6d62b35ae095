import { stat } from 'node:fs/promises';
import path from 'node:path';
import { pinOf } from '../hub/file-source.js';
import type { HubManifest, ModelManifest } from '../manifest.js';
import { readLockFile } from './lockfile.js';
import { type Files, filesFor, isPinned, type Pin } from './pins.js';

/** A file of a model as it lies on disk. */
export interface CheckedFile {
  file: string;
  state: 'right' | 'missing' | 'damaged';
  /** What it must be; undefined for a file that nobody has pinned or fetched yet. */
  pin: Pin | undefined;
}

/** Whether the files of a model come from a hub rather than with this package. */
export const isFetched = (manifest: ModelManifest): manifest is HubManifest => 'source' in manifest;

/** The files a model needs in an arithmetic, each with what is known of it from the manifest or from fetching it. */
export async function pinsFor(model: ModelManifest, dir: string, dtype: string): Promise<Files> {
  if (model.family === 'gemini') return {};
  if (!isFetched(model)) return model.files;
  const lock = await readLockFile(dir, model.source.revision);
  const files = Object.entries(filesFor(model, dtype));
  return Object.fromEntries(files.map(([file, pin]) => [file, isPinned(pin) ? pin : (lock.files[file] ?? {})]));
}

/** Reads every file a model needs in an arithmetic and compares it with its sha256. */
export async function checkFiles(model: ModelManifest, dir: string, dtype: string): Promise<CheckedFile[]> {
  const pins = Object.entries(await pinsFor(model, dir, dtype));
  return Promise.all(
    pins.map(async ([file, known]) => {
      const pin = isPinned(known) ? known : undefined;
      return { file, pin, state: await stateOf(path.join(dir, file), pin) };
    }),
  );
}

/**
 * Makes sure that a model can be started.
 * @param called the name or path by which it was asked for
 * @throws Error that says which files are wrong, and the command that brings them
 */
export async function requireFiles(model: ModelManifest, dir: string, dtype: string, called: string): Promise<void> {
  const wrong = (await checkFiles(model, dir, dtype)).filter(({ state }) => state !== 'right');
  if (wrong.length === 0) return;
  const lines = wrong.map(({ file, state }) => `    ${state.padEnd(7)}  ${file}`);
  const remedy = isFetched(model)
    ? `Run this, then try again:\n\n    npx onespace models pull ${called} --dtype ${dtype}\n`
    : `They are a part of this package: get it again.\n`;
  throw new Error(
    `The model ${model.name} (${dtype}) needs files that are not in ${dir}, or not as pinned:\n\n${lines.join('\n')}\n\n  ${remedy}`,
  );
}

/** A file without a pin was never fetched, so whatever lies in its place is not it. */
async function stateOf(file: string, pin: Pin | undefined): Promise<CheckedFile['state']> {
  const found = await stat(file).catch(() => undefined);
  if (!found?.isFile()) return 'missing';
  if (pin === undefined || found.size !== pin.bytes) return 'damaged';
  return (await pinOf(file)).sha256 === pin.sha256 ? 'right' : 'damaged';
}
