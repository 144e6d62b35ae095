import { compileFilter, type Predicate } from '../../filter.js';
import type { Filter, Metadata } from '../../vector-store.js';

/** A filter, ready to be applied to many rows. */
export interface CompiledFilter {
  /** Equal filters have equal keys. */
  key: string;
  filter: Filter;
  matches: Predicate;
  /** Bytes that the JSON of every matching item contains: an item without them need not be parsed. */
  prefilter?: Buffer;
}

/** @throws Problem `invalid_request`, whose `field` names the clause that is wrong */
export function toCompiledFilter(filter: Filter): CompiledFilter {
  const prefilter = prefilterOf(filter);
  return {
    key: JSON.stringify(filter),
    filter,
    matches: compileFilter(filter),
    ...(prefilter === undefined ? {} : { prefilter }),
  };
}

/** Whether an item with this metadata, in UTF-8 JSON as it is stored, matches. */
export function selects({ prefilter, matches }: CompiledFilter, metadata: Buffer): boolean {
  if (prefilter !== undefined && !metadata.includes(prefilter)) return false;
  return matches(JSON.parse(metadata.toString()) as Metadata);
}

/**
 * Metadata is stored as `JSON.stringify` writes it, so an item whose `colour` is `"red"` contains
 * `colour":"red"`. Of a dotted path only the last name counts, which is right for a nested field
 * and for a top-level name with a dot in it.
 */
function prefilterOf(filter: Filter): Buffer | undefined {
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
