import { isModality, type Modality } from '../../common/modality.js';
import { assert } from '../../lib/assert.js';
import { joinOriginal, splitOriginal } from '../originals/source-ref.js';
import type { Filter, Item, ItemInfo } from '../vector-store.js';

/**
 * Chroma's metadata holds only numbers, strings and booleans, so an item's metadata is JSON in one field. Further
 * fields hold the modality and each top-level string, for Chroma to filter by.
 */
export type ChromaMetadata = Record<string, string>;

const MODALITY = 'modality';
const JSON_FIELD = 'json';
const fieldOf = (name: string): string => `field:${name}`;

export function toChromaMetadata({ modality, metadata, original }: Item): ChromaMetadata {
  const strings = Object.entries(metadata).filter((entry): entry is [string, string] => typeof entry[1] === 'string');
  return {
    [MODALITY]: modality,
    [JSON_FIELD]: joinOriginal(metadata, original),
    ...Object.fromEntries(strings.map(([name, value]) => [fieldOf(name), value])),
  };
}

/** Whether a record was written by this service. */
export const isOurs = (metadata: object): boolean =>
  MODALITY in metadata && isModality(metadata[MODALITY]) && JSON_FIELD in metadata;

/** @throws Error when the record was not written by this service */
export function fromChroma(id: string, metadata: unknown): ItemInfo {
  const { [MODALITY]: modality, [JSON_FIELD]: json } = metadata as ChromaMetadata;
  assert(isModality(modality) && typeof json === 'string', 'a Chroma record that this service did not write');
  return { id, modality: modality as Modality, ...splitOriginal(json) };
}

/**
 * A Chroma `where` as a prefilter: it accepts everything that matches, and perhaps more, because Chroma has no
 * `$not` and no `$exists`, and tells integers from floats. The store applies the filter itself to what it accepts.
 */
export function whereOf(modality: Modality | undefined, filter: Filter | undefined): object | undefined {
  const conditions: object[] = modality === undefined ? [] : [{ [MODALITY]: { $eq: modality } }];
  for (const [field, condition] of Object.entries(filter ?? {})) {
    const value = typeof condition === 'object' ? (condition as { $eq?: unknown } | null)?.$eq : condition;
    // A dotted name may mean a nested field, which has no field of its own.
    if (typeof value === 'string' && !field.startsWith('$') && !field.includes('.'))
      conditions.push({ [fieldOf(field)]: { $eq: value } });
  }
  return conditions.length > 1 ? { $and: conditions } : conditions[0];
}
