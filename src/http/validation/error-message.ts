import type { ErrorObject } from 'ajv';

export interface Explanation {
  /** Path of the field that is wrong, with dots; empty for the whole value. */
  field: string;
  /** What is wrong with it and what is allowed: a predicate without the full stop. */
  what: string;
}

/** Longest text of the caller that an error repeats. */
const MAX_SHOWN_CHARACTERS = 40;

/** An error and the keys on the way to the value that is wrong. */
interface Placed {
  error: ErrorObject;
  path: readonly string[];
}

/**
 * Explains the errors of a validator that stops at the first one. A union reports each of its branches: the branch that
 * was meant is the one that went furthest.
 */
export function explain(errors: readonly ErrorObject[], value: unknown): Explanation {
  const placed = meant(errors.filter(({ keyword }) => keyword !== 'anyOf').map(place));
  const { path } = placed.reduce<Placed | { path: string[] }>(
    (best, one) => (isFurther(one.path, best.path) ? one : best),
    { path: [] },
  );
  const here = placed.filter((one) => one.path.join('/') === path.join('/')).map(({ error }) => error);
  return { field: path.map(cut).join('.'), what: predicate(here, valueAt(value, path)) };
}

/** A field that should not be there is itself wrong, and so is the tag of a branch that is not meant. */
function place(error: ErrorObject): Placed {
  const { instancePath, keyword, params } = error;
  const keys = instancePath.split('/').slice(1);
  const path = keys.map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'));
  const tag = otherTag(error);
  if (tag !== undefined) return { error: tag.error, path: [...path, tag.name] };
  return { error, path: keyword === 'additionalProperties' ? [...path, params.additionalProperty] : path };
}

/** The tag of the branch that reports an error, as an error, where the value has another: `{"type": "audio"}`. */
function otherTag({ keyword, parentSchema, data, ...error }: ErrorObject) {
  if (keyword !== 'required' && keyword !== 'additionalProperties') return undefined;
  const properties = Object.entries((parentSchema?.properties ?? {}) as Record<string, { const?: unknown }>);
  const tag = properties.find(([name, property]) => 'const' in property && property.const !== Object(data)[name]);
  if (tag === undefined) return undefined;
  const [name, { const: allowedValue }] = tag;
  return { name, error: { ...error, keyword: 'const', params: { allowedValue } } };
}

/** Without the tags of other branches, where the value has the tag of one. */
function meant(placed: readonly Placed[]): readonly Placed[] {
  const isTag = ({ error }: Placed) => error.keyword === 'const';
  const isSpecific = ({ error }: Placed) => error.keyword !== 'const' && error.keyword !== 'type';
  const depthOfTags = Math.min(...placed.filter(isTag).map(({ path }) => path.length));
  const others = placed.filter((one) => !isTag(one));
  return others.some((one) => isSpecific(one) && one.path.length >= depthOfTags - 1) ? others : placed;
}

/** Whether a place comes after another, in the order of a check: a later entry of a list, or further in. */
function isFurther(path: readonly string[], other: readonly string[]): boolean {
  const differs = path.findIndex((key, i) => key !== other[i]);
  if (differs === -1) return false;
  if (differs >= other.length) return true;
  return Number(path[differs]) > Number(other[differs]);
}

function predicate(errors: readonly ErrorObject[], value: unknown): string {
  const params = (keyword: string, name: string): unknown[] =>
    errors.filter((error) => error.keyword === keyword).flatMap((error) => error.params[name] ?? []);
  // A field that one branch of a union does not have is a field nevertheless where another branch has it.
  const known = errors.filter(({ keyword }) => keyword !== 'additionalProperties');
  if (known.length < errors.length)
    return known.length === 0 ? 'is not a field of this request' : predicate(known, value);
  const allowed = [...params('enum', 'allowedValues'), ...params('const', 'allowedValue')];
  if (allowed.length > 0) return `must be one of ${[...new Set(allowed)].join(', ')}; received ${show(value)}`;
  const missing = params('required', 'missingProperty');
  if (missing.length > 0) return `needs ${missing.join(' or ')}`;
  const others = errors.filter(({ keyword }) => keyword !== 'type');
  // Of the branches of a union, the most generous limit counts.
  const other = others.sort((a, b) => (b.params.limit ?? 0) - (a.params.limit ?? 0))[0];
  if (other !== undefined) return inWords(other);
  const types = [...new Set(params('type', 'type'))];
  return types.length === 0 ? 'is not valid' : `must be ${types.join(' or ')}; received ${typeOf(value)}`;
}

const inWords = ({ message = 'is not valid' }: ErrorObject): string =>
  message.replace('NOT', 'not').replace(/not have fewer than 1 \w+$/, 'not be empty');

function valueAt(value: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>(
    (inner, key) => (typeof inner === 'object' && inner !== null ? (inner as Record<string, unknown>)[key] : undefined),
    value,
  );
}

function typeOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  return `${typeof value === 'object' ? 'an' : 'a'} ${typeof value}`;
}

const show = (value: unknown): string => (typeof value === 'string' ? JSON.stringify(cut(value)) : typeOf(value));

const cut = (text: string): string =>
  text.length > MAX_SHOWN_CHARACTERS ? `${text.slice(0, MAX_SHOWN_CHARACTERS)}...` : text;
