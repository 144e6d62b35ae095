import { createHash } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Static, Type } from 'typebox';
import { Value } from 'typebox/value';
import { MODALITIES } from '../modality.js';
import type { Dtype } from './session-thread.js';

const positive = Type.Integer({ minimum: 1 });

/** The contract of a model: the content of its `model.json`. */
export const ModelManifest = Type.Object({
  name: Type.String({ pattern: '^[a-z0-9][a-z0-9._-]*$' }),
  revision: Type.String({ minLength: 1, maxLength: 64 }),
  family: Type.Literal('unified'),
  dim: positive,
  /** Lengths to which a vector may be cut (and renormalised), longest first. */
  matryoshka: Type.Array(positive),
  licence: Type.String(),
  description: Type.String(),
  files: Type.Record(
    Type.String(),
    Type.Object({ bytes: positive, sha256: Type.String({ pattern: '^[0-9a-f]{64}$' }) }),
  ),
  /** The graph for each arithmetic; they share their weights. */
  graphs: Type.Object({ fp32: Type.String(), q8: Type.Optional(Type.String()) }),
  tokenizer: Type.String(),
  /** Pixels along a patch's edge. */
  patch: positive,
  text: Type.Object({ max_tokens: positive, pad_id: Type.Literal(0) }),
  image: Type.Object({ side: positive }),
  video: Type.Object({ side: positive, min_frames: positive, max_frames: positive }),
  modalities: Type.Array(Type.Enum([...MODALITIES])),
  /** Whether time reaches the model as a dimension. */
  temporal: Type.Boolean(),
});
export type ModelManifest = Static<typeof ModelManifest>;

/** A model on disk whose files are what its manifest says. */
export interface Model {
  manifest: ModelManifest;
  dir: string;
  tokenizerPath: string;
}

const MODELS_DIR = fileURLToPath(new URL('../../../models', import.meta.url));

/**
 * Opens the model `nameOrPath`: a folder under `models/`, or a path to one.
 * @throws Error when it is not there, its manifest is not valid, or a file differs from its sha256
 */
export async function openModel(nameOrPath: string): Promise<Model> {
  const dir =
    path.isAbsolute(nameOrPath) || nameOrPath.startsWith('.') ? nameOrPath : path.join(MODELS_DIR, nameOrPath);
  const manifestPath = path.join(dir, 'model.json');
  if (!existsSync(manifestPath)) throw new Error(`There is no model "${nameOrPath}": ${manifestPath} does not exist.`);
  const manifest: unknown = JSON.parse(await readFile(manifestPath, 'utf8'));
  if (!Value.Check(ModelManifest, manifest)) {
    const [first] = Value.Errors(ModelManifest, manifest);
    throw new Error(`${manifestPath} is not a valid model manifest: ${first?.instancePath} ${first?.message}.`);
  }
  await Promise.all(Object.entries(manifest.files).map(([name, { sha256 }]) => verify(path.join(dir, name), sha256)));
  return { manifest, dir, tokenizerPath: path.join(dir, manifest.tokenizer) };
}

/**
 * The graph of a model for an arithmetic.
 * @throws Error when the model does not come in it
 */
export function graphPath({ manifest, dir }: Model, dtype: Dtype): string {
  const file = manifest.graphs[dtype];
  if (file === undefined) throw new Error(`The model ${manifest.name} does not come in DTYPE=${dtype}.`);
  return path.join(dir, file);
}

async function verify(file: string, sha256: string): Promise<void> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer);
  const found = hash.digest('hex');
  if (found !== sha256) throw new Error(`${file} is damaged: its sha256 is ${found}, the manifest says ${sha256}.`);
}
