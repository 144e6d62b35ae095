import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Value } from 'typebox/value';
import { parseJson } from '../lib/parse-json.js';
import { requireFiles } from './files/verify.js';
import { ModelManifest } from './manifest.js';
import { manifestErrors } from './manifest-errors.js';

/** A model: its manifest, and the folder of its files. */
export interface Model<Manifest extends ModelManifest = ModelManifest> {
  manifest: Manifest;
  dir: string;
}

/** The settings that models are opened by: a folder of models beside the package's own, and the dtype. */
export interface ModelSettings {
  MODELS_DIR: string;
  DTYPE: string;
}

/** Folder of the package's models: the bundled one with its files, the others with their manifests only. */
export const PACKAGE_MODELS = fileURLToPath(new URL('../../../models', import.meta.url));
export const MANIFEST = 'model.json';

/** Where npm has installed this package, others may be that are a model each: `npm install onespace onespace-base`. */
const besideThisPackage = (): string[] => {
  const folder = path.join(PACKAGE_MODELS, '..', '..');
  return path.basename(folder) === 'node_modules' ? [folder] : [];
};

/** The folders in which a model is looked up by name; the first one that has it is used. */
export const modelFolders = ({ MODELS_DIR }: Pick<ModelSettings, 'MODELS_DIR'>): string[] => [
  ...(MODELS_DIR === '' ? [] : [MODELS_DIR]),
  PACKAGE_MODELS,
  ...besideThisPackage(),
];

/**
 * A model whose files are present and right.
 * @param nameOrPath a name, or the path of the model's folder
 * @throws Error when there is no such model, or files are missing or damaged; with the command that downloads them
 */
export async function openModel(nameOrPath: string, settings: ModelSettings): Promise<Model> {
  const model = await findModel(nameOrPath, modelFolders(settings));
  await requireFiles(model.manifest, model.dir, settings.DTYPE, nameOrPath);
  return model;
}

/**
 * A model by its manifest alone; its files may be missing.
 * @throws Error when there is no such model, or its manifest is not valid
 */
export async function findModel(nameOrPath: string, folders: readonly string[]): Promise<Model> {
  const isPath = path.isAbsolute(nameOrPath) || nameOrPath.startsWith('.');
  const candidates = isPath ? [nameOrPath] : folders.map((folder) => path.join(folder, nameOrPath));
  const dir = candidates.find((candidate) => existsSync(path.join(candidate, MANIFEST)));
  if (dir !== undefined) return { dir, manifest: await readManifest(path.join(dir, MANIFEST)) };
  if (isPath) throw new Error(`There is no model "${nameOrPath}": the folder has no ${MANIFEST}.`);
  const known = (await listModels(folders)).map(({ manifest }) => manifest.name);
  throw new Error(`There is no model "${nameOrPath}". There are: ${known.join(', ')}.`);
}

/** Every model of the folders, ordered by name. */
export async function listModels(folders: readonly string[]): Promise<Model[]> {
  const listed = await Promise.all(folders.map((folder) => readdir(folder).catch(() => [])));
  const names = [...new Set(listed.flat())].sort();
  const found = names.filter((name) => folders.some((folder) => existsSync(path.join(folder, name, MANIFEST))));
  return Promise.all(found.map((name) => findModel(name, folders)));
}

async function readManifest(file: string): Promise<ModelManifest> {
  const manifest = parseJson(await readFile(file, 'utf8'), file);
  if (Value.Check(ModelManifest, manifest)) return manifest;
  throw new Error(`${file} is not a valid model manifest:\n${manifestErrors(manifest)}`);
}
