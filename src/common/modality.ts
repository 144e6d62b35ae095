/**
 * What a vector was made from; every modality shares one space. Adding a modality is one entry here.
 *
 * The order is that of richness: mixed input counts as the last of its modalities in this list, so an image with a
 * caption is an image. `code` is stored in write-ahead logs and caches on disk: once assigned, it never changes.
 */
const TABLE = [
  { name: 'text', code: 0 },
  { name: 'image', code: 1 },
  { name: 'video', code: 2 },
] as const;

export type Modality = (typeof TABLE)[number]['name'];
export const MODALITIES: readonly Modality[] = TABLE.map(({ name }) => name);

/** The stored code of each modality. */
export const MODALITY_CODES = Object.fromEntries(TABLE.map(({ name, code }) => [name, code])) as Readonly<
  Record<Modality, number>
>;
const MODALITY_OF_CODE = new Map<number, Modality>(TABLE.map(({ name, code }) => [code, name]));

/** One more than the highest code. */
export const MODALITY_CODES_END = Math.max(...Object.values(MODALITY_CODES)) + 1;

/** The modality of a stored code; undefined for a code that this version does not know. */
export const modalityOfCode = (code: number): Modality | undefined => MODALITY_OF_CODE.get(code);

export const isModality = (name: unknown): name is Modality => (MODALITIES as readonly unknown[]).includes(name);

/** The modality that mixed input counts as. @param modalities of its parts; text where there are none */
export const richestModality = (modalities: readonly Modality[]): Modality =>
  MODALITIES.findLast((modality) => modalities.includes(modality)) ?? 'text';

/** A record with one value per modality. */
export function forEachModality<T>(make: (modality: Modality) => T): Record<Modality, T> {
  return Object.fromEntries(MODALITIES.map((modality) => [modality, make(modality)])) as Record<Modality, T>;
}

/** The sum over all modalities. */
export const totalOf = (counts: Readonly<Record<Modality, number>>): number =>
  MODALITIES.reduce((total, modality) => total + counts[modality], 0);
