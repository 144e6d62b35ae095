import { compileFilter, type Predicate } from '../../filter.js';
import type { Filter, Metadata } from '../../vector-store.js';

/** A filter, ready to be asked of many rows. */
export interface Selection {
  /** Equal filters have equal keys. */
  key: string;
  filter: Filter;
  matches: Predicate;
  /** Bytes that stand in the JSON of every item that matches: whoever lacks them need not be parsed. */
  needle?: Buffer;
}

export function selectionOf(filter: Filter): Selection {
  const needle = needleOf(filter);
  return {
    key: JSON.stringify(filter),
    filter,
    matches: compileFilter(filter),
    ...(needle === undefined ? {} : { needle }),
  };
}

/** Whether an item with this metadata, in UTF-8 JSON as it is stored, matches. */
export function selects({ needle, matches }: Selection, metadata: Buffer): boolean {
  if (needle !== undefined && !metadata.includes(needle)) return false;
  return matches(JSON.parse(metadata.toString()) as Metadata);
}

/**
 * Metadata is stored as `JSON.stringify` writes it, so an item whose `colour` is `"red"` contains
 * `colour":"red"`. Of a dotted path only the last name counts, which is right for a nested field
 * and for a top-level name with a dot in it.
 */
function needleOf(filter: Filter): Buffer | undefined {
  for (const [field, condition] of Object.entries(filter)) {
    if (field.startsWith('$')) continue;
    const value = isOperators(condition) ? condition.$eq : condition;
    if (value === undefined) continue;
    const name = JSON.stringify(field.split('.').at(-1)).slice(1);
    return Buffer.from(`${name}:${JSON.stringify(value)}`);
  }
  return undefined;
}

const isOperators = (condition: unknown): condition is { $eq?: unknown } =>
  typeof condition === 'object' && condition !== null;
