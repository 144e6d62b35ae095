import { type Static, Type } from 'typebox';
import type { HubManifest } from '../manifest.js';

/** A file known byte for byte. */
export const Pin = Type.Object({
  bytes: Type.Integer({ minimum: 1 }),
  sha256: Type.String({ pattern: '^[0-9a-f]{64}$' }),
});
export type Pin = Static<typeof Pin>;

/** What is known of each file of a model: a file whose digest is not known before it is fetched has no pin. */
export type Files = Record<string, Partial<Pin>>;

export type HubDtype = keyof HubManifest['dtypes'];

export const isPinned = (file: Partial<Pin> | undefined): file is Pin =>
  file?.sha256 !== undefined && file.bytes !== undefined;

export const dtypesOf = ({ dtypes }: HubManifest): HubDtype[] => Object.keys(dtypes) as HubDtype[];

/**
 * The files a model needs in an arithmetic: those listed for it, and those listed for none.
 * @throws Error when the model does not come in it
 */
export function filesFor({ name, family, files, dtypes }: HubManifest, dtype: string): Files {
  const overflows = family === 'embeddinggemma2' && dtype === 'fp16';
  const own = overflows ? undefined : dtypes[dtype as HubDtype];
  if (own === undefined) {
    const offer = `The model ${name} does not come in DTYPE=${dtype}, but in ${Object.keys(dtypes).join(', ')}`;
    throw new Error(`${offer}${overflows ? ': its activations grow beyond the range of half precision' : ''}.`);
  }
  const particular = new Set(Object.values(dtypes).flat());
  const names = Object.keys(files).filter((file) => !particular.has(file) || own.includes(file));
  return Object.fromEntries(names.map((file) => [file, files[file] ?? {}]));
}
