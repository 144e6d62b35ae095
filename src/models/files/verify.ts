import { stat } from 'node:fs/promises';
import path from 'node:path';
import type { HubManifest, ModelManifest } from '../manifest.js';
import { readLockfile } from './lockfile.js';
import { type FilePins, filesFor, isPinned, type Pin, pinOf } from './pins.js';

/** A file of a model as found on disk. */
export interface CheckedFile {
  file: string;
  state: 'right' | 'missing' | 'damaged';
  /** Its expected content; undefined for a file without a digest that has not been downloaded. */
  pin: Pin | undefined;
}

/** Whether the files of a model are downloaded from a hub, rather than part of this package. */
export const isDownloaded = (manifest: ModelManifest): manifest is HubManifest => 'source' in manifest;

/** The files that a model needs for a dtype, each with its pin from the manifest or else from the lockfile. */
export async function pinsFor(model: ModelManifest, dir: string, dtype: string): Promise<FilePins> {
  if (!('files' in model)) return {};
  if (!isDownloaded(model)) return model.files;
  const lock = await readLockfile(dir, model.source.revision);
  const files = Object.entries(filesFor(model, dtype));
  return Object.fromEntries(files.map(([file, pin]) => [file, isPinned(pin) ? pin : (lock.files[file] ?? {})]));
}

/** Reads every file that a model needs for a dtype and compares its sha256. */
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
 * Checks that all files of a model are present and right.
 * @param nameOrPath as the user gave it, for the command in the message
 * @throws Error with the files that are not, and the command that downloads them
 */
export async function requireFiles(
  model: ModelManifest,
  dir: string,
  dtype: string,
  nameOrPath: string,
): Promise<void> {
  const wrong = (await checkFiles(model, dir, dtype)).filter(({ state }) => state !== 'right');
  if (wrong.length === 0) return;
  const lines = wrong.map(({ file, state }) => `    ${state.padEnd(7)}  ${file}`);
  const remedy = isDownloaded(model)
    ? `Run this, then try again:\n\n    npx onespace models pull ${nameOrPath} --dtype ${dtype}\n`
    : path.isAbsolute(nameOrPath) || nameOrPath.startsWith('.')
      ? `Copy the folder again from where it came from.\n`
      : `They are part of this package: install it again.\n`;
  throw new Error(
    `The model ${model.name} (${dtype}) needs files that are missing or damaged in ${dir}:\n\n${lines.join('\n')}\n\n  ${remedy}`,
  );
}

/** A file without a pin was never downloaded, so a file of its name is not it. */
async function stateOf(file: string, pin: Pin | undefined): Promise<CheckedFile['state']> {
  const found = await stat(file).catch(() => undefined);
  if (!found?.isFile()) return 'missing';
  if (pin === undefined || found.size !== pin.bytes) return 'damaged';
  return (await pinOf(file)).sha256 === pin.sha256 ? 'right' : 'damaged';
}
