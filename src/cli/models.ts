import { copyFile, mkdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { Command } from 'commander';
import { type Config, loadConfig } from '../config.js';
import { formatBytes } from '../lib/format-bytes.js';
import {
  findModel,
  listModels as listAll,
  MANIFEST,
  type Model,
  modelFolders,
  PACKAGE_MODELS,
} from '../models/catalog.js';
import { dtypesOf, type HubDtype, isPinned } from '../models/files/pins.js';
import { removeFiles } from '../models/files/remove.js';
import { type CheckedFile, checkFiles, isDownloaded, pinsFor } from '../models/files/verify.js';
import { type FileSource, FolderSource, HubSource } from '../models/hub/file-source.js';
import { HttpClient } from '../models/hub/http-client.js';
import { HUB_RETRY_POLICY, HubApi } from '../models/hub/hub-api.js';
import { pull } from '../models/hub/pull.js';
import type { HubManifest } from '../models/manifest.js';
import { ProgressBar } from './progress-bar.js';

export const command = new Command('models').description('list models, and download, verify or delete their files');

command
  .command('list')
  .description('print every model, its precisions, and which of their files are here')
  .action(async () => console.log((await listModels()).join('\n')));

command
  .command('pull')
  .description('download the files of a model; an interrupted download continues')
  .argument('<name>', 'name of the model, as "onespace models list" prints it')
  .option('--dtype <dtype>', 'precision of the files (default: the setting DTYPE)')
  .option('--from <folder>', 'copy the files from a folder instead of the model hub')
  .action(async (name: string, options: PullOptions) => console.log(await pullModel(name, options)));

command
  .command('verify')
  .description('compare the files that are here with their checksums; exits with 1 when one is damaged or missing')
  .argument('[name]', 'only the files of this model')
  .action(async (name?: string) => {
    const { lines, isRight } = await verifyModels(name);
    console.log(lines.join('\n'));
    if (!isRight) process.exitCode = 1;
  });

command
  .command('remove')
  .description('delete the downloaded files of a model')
  .argument('<name>', 'name of the model')
  .action(async (name: string) => console.log(await removeModel(name)));

interface PullOptions {
  /** Precision; that of the setting DTYPE when undefined. */
  dtype?: string;
  /** Folder to copy the files from, instead of the hub. */
  from?: string;
}

/** A table of every model: modalities, precisions, and which of their files are here. */
async function listModels(): Promise<string[]> {
  const models = await listAll(modelFolders(loadConfig(process.env)));
  const rows = await Promise.all(models.map(rowOf));
  return asTable([['MODEL', 'DIM', 'MODALITIES', 'LICENCE', 'FILES'], ...rows]);
}

/** Downloads or copies the files of a model that are missing or damaged. @returns what was done, in words */
async function pullModel(name: string, options: PullOptions): Promise<string> {
  const config = loadConfig(process.env);
  const { manifest, dir } = await ownFolder(name, config);
  const dtype = options.dtype ?? config.DTYPE;
  const sourceOf = (missing: readonly string[], commit: string | undefined) =>
    options.from === undefined ? openHub(manifest, config, missing, commit) : new FolderSource(options.from);
  const progressOf = (bytes: number) => new ProgressBar(`pulling ${name}`, bytes, formatBytes);
  const { fetched, kept } = await pull({ model: manifest, dir, dtype }, sourceOf, progressOf);
  const count = `${fetched.length + kept} files are here and verified, ${fetched.length} of them new`;
  return `${name} (${dtype}): ${count}. Start it: MODEL=${name} DTYPE=${dtype} npm start`;
}

/** Compares the files of a model, or of every model, with their checksums. */
async function verifyModels(name?: string): Promise<{ lines: string[]; isRight: boolean }> {
  const folders = modelFolders(loadConfig(process.env));
  const models = name === undefined ? await listAll(folders) : [await findModel(name, folders)];
  const checked = (await Promise.all(models.map(checkedFiles))).flat();
  if (checked.length === 0) {
    for (const model of models) asFetched(model);
    throw new Error(`${name} has no files here. Download them: npx onespace models pull ${name}`);
  }
  const lines = checked.map(({ model, file, state }) => [state, `${model}/${file}`]);
  return { lines: asTable(lines), isRight: checked.every(({ state }) => state === 'right') };
}

/** Deletes the files of a model. @returns the disk space freed, in words */
async function removeModel(name: string): Promise<string> {
  const { manifest, dir } = asFetched(await findModel(name, modelFolders(loadConfig(process.env))));
  return `${formatBytes(await removeFiles(manifest, dir))} freed`;
}

async function rowOf({ manifest, dir }: Model): Promise<string[]> {
  const { name, dim, modalities, licence } = manifest;
  const unfetched = manifest.family === 'gemini' ? 'none: it runs at Google, with GEMINI_API_KEY' : 'here';
  const files = isDownloaded(manifest)
    ? await Promise.all(dtypesOf(manifest).map((dtype) => presence({ manifest, dir }, dtype)))
    : [unfetched];
  return [name, String(dim), modalities.join(' '), licence, files.join(', ')];
}

/** A precision and whether files of the right sizes are here: `q8 here`, or else their total size: `q8 542 MB`. */
async function presence({ manifest, dir }: Model<HubManifest>, dtype: HubDtype): Promise<string> {
  const pins = Object.entries(await pinsFor(manifest, dir, dtype));
  const sizes = await Promise.all(pins.map(([file]) => sizeOf(path.join(dir, file))));
  if (pins.every(([, pin], i) => isPinned(pin) && sizes[i] === pin.bytes)) return `${dtype} here`;
  const known = pins.every(([, pin]) => isPinned(pin));
  const bytes = pins.reduce((sum, [, { bytes = 0 }]) => sum + bytes, 0);
  return `${dtype} ${known ? '' : '> '}${formatBytes(bytes)}`;
}

const sizeOf = async (file: string): Promise<number> => (await stat(file).catch(() => undefined))?.size ?? 0;

/** Checks the files of each precision of which at least one file is here. */
async function checkedFiles({ manifest, dir }: Model): Promise<(CheckedFile & { model: string })[]> {
  const dtypes = isDownloaded(manifest) ? await begunDtypes(manifest, dir) : [''];
  const checked = new Map<string, CheckedFile>();
  for (const dtype of dtypes) for (const one of await checkFiles(manifest, dir, dtype)) checked.set(one.file, one);
  return [...checked.values()].map((one) => ({ ...one, model: manifest.name }));
}

async function begunDtypes(manifest: HubManifest, dir: string): Promise<HubDtype[]> {
  const begun: HubDtype[] = [];
  for (const dtype of dtypesOf(manifest)) {
    const sizes = await Promise.all((manifest.dtypes[dtype] ?? []).map((file) => sizeOf(path.join(dir, file))));
    if (sizes.some((size) => size > 0)) begun.push(dtype);
  }
  return begun;
}

function openHub(
  { name, source }: HubManifest,
  config: Config,
  missing: readonly string[],
  commit?: string,
): FileSource {
  const { HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE } = config;
  if (HF_HUB_OFFLINE)
    throw new Error(
      `HF_HUB_OFFLINE is set, and files of ${name} are missing:\n\n${missing.map((file) => `    ${file}`).join('\n')}\n\n  ` +
        `Copy the files of ${source.repository} into a folder of this machine, then run: npx onespace models pull ${name} --from FOLDER`,
    );
  return new HubSource(new HubApi(new HttpClient(HF_ENDPOINT, HF_TOKEN), HUB_RETRY_POLICY, writeLine), source, commit);
}

/** Writes a line to stderr, over the progress bar of a terminal. */
function writeLine(message: string): void {
  process.stderr.write(`${process.stderr.isTTY ? '\r\x1b[2K' : ''}${message}\n`);
}

function asTable(rows: readonly string[][]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}

/**
 * A model and the folder for its files, which holds a copy of the manifest. The manifest of the package replaces a copy
 * that an earlier pull left in MODELS_DIR, because this version of the package may pin other files.
 */
async function ownFolder(name: string, config: Config): Promise<Model<HubManifest>> {
  const model = asFetched(await findModel(name, modelFolders(config).reverse()));
  if (config.MODELS_DIR === '' || model.dir !== path.join(PACKAGE_MODELS, name)) return model;
  const dir = path.join(config.MODELS_DIR, name);
  await mkdir(dir, { recursive: true });
  await copyFile(path.join(model.dir, MANIFEST), path.join(dir, MANIFEST));
  return { manifest: model.manifest, dir };
}

function asFetched({ manifest, dir }: Model): Model<HubManifest> {
  if (isDownloaded(manifest)) return { manifest, dir };
  throw new Error(`The model ${manifest.name} has no files to download.`);
}
