import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type Static, Type } from 'typebox';
import type { HubManifest } from '../manifest.js';

/** The size and sha256 of a file: its content is fixed. */
export const Pin = Type.Object({
  bytes: Type.Integer({ minimum: 1 }),
  sha256: Type.String({ pattern: '^[0-9a-f]{64}$' }),
});
export type Pin = Static<typeof Pin>;

/** The files of a model; a file that is pinned when it is first downloaded has no digest before. */
export type FilePins = Record<string, Partial<Pin>>;

export type HubDtype = keyof HubManifest['dtypes'];

export const isPinned = (file: Partial<Pin> | undefined): file is Pin =>
  file?.sha256 !== undefined && file.bytes !== undefined;

export const dtypesOf = ({ dtypes }: HubManifest): HubDtype[] => Object.keys(dtypes) as HubDtype[];

/**
 * The files that a model needs for a dtype: those listed for this dtype, and those listed for none.
 * @throws Error when the model does not come in this dtype
 */
export function filesFor({ name, family, files, dtypes }: HubManifest, dtype: string): FilePins {
  const overflows = family === 'embeddinggemma2' && dtype === 'fp16';
  const own = overflows ? undefined : dtypes[dtype as HubDtype];
  if (own === undefined) {
    const offer = `The model ${name} does not come in DTYPE=${dtype}, but in ${Object.keys(dtypes).join(', ')}`;
    throw new Error(`${offer}${overflows ? ': its activations grow beyond the range of half precision' : ''}.`);
  }
  const specific = new Set(Object.values(dtypes).flat());
  const names = Object.keys(files).filter((file) => !specific.has(file) || own.includes(file));
  return Object.fromEntries(names.map((file) => [file, files[file] ?? {}]));
}

/** The size and sha256 of a file on disk. @throws Error when it cannot be read */
export async function pinOf(file: string): Promise<Pin> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of createReadStream(file)) {
    hash.update(chunk as Buffer);
    bytes += (chunk as Buffer).length;
  }
  return { bytes, sha256: hash.digest('hex') };
}
