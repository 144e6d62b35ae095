import { copyFile, mkdir, stat } from 'node:fs/promises';
import path from 'node:path';
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
import { Progress } from './progress-bar.js';

/** Every model: what it takes, in which arithmetics it comes, and which of them are here. */
export async function listModels(): Promise<string[]> {
  const models = await listAll(modelFolders(loadConfig(process.env)));
  const rows = await Promise.all(models.map(rowOf));
  return asTable([['MODEL', 'DIM', 'MODALITIES', 'LICENCE', 'FILES'], ...rows]);
}

/**
 * Brings the files of a model.
 * @param options.dtype the arithmetic they are for; that of the setting DTYPE when undefined
 * @param options.from a folder that has them, instead of the hub
 */
export async function pullModel(name: string, options: { dtype?: string; from?: string }): Promise<string> {
  const config = loadConfig(process.env);
  const { manifest, dir } = await ownFolder(name, config);
  const dtype = options.dtype ?? config.DTYPE;
  const sourceOf = (missing: readonly string[], commit: string | undefined) =>
    options.from === undefined ? openHub(manifest, config, missing, commit) : new FolderSource(options.from);
  const progressOf = (bytes: number) => new Progress(`pulling ${name}`, bytes, formatBytes);
  const { fetched, kept } = await pull({ model: manifest, dir, dtype }, sourceOf, progressOf);
  const count = `${fetched.length + kept} files are here and right, ${fetched.length} of them new`;
  return `${name} (${dtype}): ${count}. Start it: MODEL=${name} DTYPE=${dtype} npm start`;
}

/** Reads the files of a model, or of every model, and compares their digests. */
export async function verifyModels(name?: string): Promise<{ lines: string[]; isRight: boolean }> {
  const folders = modelFolders(loadConfig(process.env));
  const models = name === undefined ? await listAll(folders) : [await findModel(name, folders)];
  const checked = (await Promise.all(models.map(checkedFiles))).flat();
  if (checked.length === 0) {
    for (const model of models) asFetched(model);
    throw new Error(`Nothing of ${name} is here. Bring it: npx onespace models pull ${name}`);
  }
  const lines = checked.map(({ model, file, state }) => [state, `${model}/${file}`]);
  return { lines: asTable(lines), isRight: checked.every(({ state }) => state === 'right') };
}

/** Deletes the files of a model. @returns what was freed, in words */
export async function removeModel(name: string): Promise<string> {
  const { manifest, dir } = asFetched(await findModel(name, modelFolders(loadConfig(process.env))));
  return `${formatBytes(await removeFiles(manifest, dir))} freed`;
}

async function rowOf({ manifest, dir }: Model): Promise<string[]> {
  const { name, dim, modalities, licence } = manifest;
  const whole = manifest.family === 'gemini' ? 'none: it runs at Google, with GEMINI_API_KEY' : 'here';
  const files = isDownloaded(manifest)
    ? await Promise.all(dtypesOf(manifest).map((dtype) => presence({ manifest, dir }, dtype)))
    : [whole];
  return [name, String(dim), modalities.join(' '), licence, files.join(', ')];
}

/** An arithmetic, and whether its files are here, by their sizes: `q8 here`, else what they come to: `q8 542 MB`. */
async function presence({ manifest, dir }: Model<HubManifest>, dtype: HubDtype): Promise<string> {
  const pins = Object.entries(await pinsFor(manifest, dir, dtype));
  const sizes = await Promise.all(pins.map(([file]) => sizeOf(path.join(dir, file))));
  if (pins.every(([, pin], i) => isPinned(pin) && sizes[i] === pin.bytes)) return `${dtype} here`;
  const known = pins.every(([, pin]) => isPinned(pin));
  const bytes = pins.reduce((sum, [, { bytes = 0 }]) => sum + bytes, 0);
  return `${dtype} ${known ? '' : '> '}${formatBytes(bytes)}`;
}

const sizeOf = async (file: string): Promise<number> => (await stat(file).catch(() => undefined))?.size ?? 0;

/** The files of every arithmetic of which something is here, checked. */
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
      `HF_HUB_OFFLINE is set, and ${name} lacks files:\n\n${missing.map((file) => `    ${file}`).join('\n')}\n\n  ` +
        `Bring a folder with the files of ${source.repository} here, then run: npx onespace models pull ${name} --from FOLDER`,
    );
  return new HubSource(new HubApi(new HttpClient(HF_ENDPOINT, HF_TOKEN), HUB_RETRY_POLICY, say), source, commit);
}

/** A line on stderr; where a progress bar stands, in its place. */
function say(message: string): void {
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
 * A model and the folder for its files, with its manifest in it. The manifest of the package wins over a copy that an
 * earlier pull left in MODELS_DIR: pulling again brings what this version of the package pins.
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
  throw new Error(`The model ${manifest.name} has no files that are fetched.`);
}
