import { MODALITIES, type Modality } from '../../common/modality.js';
import { assert } from '../../lib/assert.js';
import { joinOriginal, splitOriginal } from '../originals/source-ref.js';
import type { Filter, Item, ItemInfo } from '../vector-store.js';

/**
 * Chroma's metadata holds only numbers, strings and booleans, so ours goes whole, as JSON, into
 * one field. Beside it stand the modality and each top-level string, for Chroma to narrow by.
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
  MODALITY in metadata && MODALITIES.includes(metadata[MODALITY] as Modality) && JSON_FIELD in metadata;

/** @throws Error when the record is not one of ours */
export function fromChroma(id: string, metadata: unknown): ItemInfo {
  const { [MODALITY]: modality, [JSON_FIELD]: json } = metadata as ChromaMetadata;
  assert(MODALITIES.includes(modality as Modality) && typeof json === 'string', 'a Chroma record that is not ours');
  return { id, modality: modality as Modality, ...splitOriginal(json) };
}

/**
 * A Chroma `where` that lets through everything that matches, and perhaps more: Chroma has no
 * `$not` and no `$exists`, and treats numbers by their type. What it lets through is looked at again.
 */
export function whereOf(modality: Modality | undefined, filter: Filter | undefined): object | undefined {
  const conditions: object[] = modality === undefined ? [] : [{ [MODALITY]: { $eq: modality } }];
  for (const [field, condition] of Object.entries(filter ?? {})) {
    const wanted = typeof condition === 'object' ? (condition as { $eq?: unknown } | null)?.$eq : condition;
    // A dotted name may mean a nested field, which does not stand beside the JSON.
    if (typeof wanted === 'string' && !field.startsWith('$') && !field.includes('.'))
      conditions.push({ [fieldOf(field)]: { $eq: wanted } });
  }
  return conditions.length > 1 ? { $and: conditions } : conditions[0];
}
