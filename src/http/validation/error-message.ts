/** An error of the validator: one keyword of the schema that one place of the value violates. */
export interface SchemaError {
  keyword: string;
  instancePath: string;
  message: string;
  params?: object;
}

export interface Explanation {
  /** Path of the field that is wrong, with dots; empty for the whole value. */
  field: string;
  /** What is wrong with it and what is allowed: a predicate without the full stop. */
  what: string;
}

const MAX_SHOWN_CHARACTERS = 40;

/** Explains the errors of a validator. A union reports every branch, so the deepest error is the most specific. */
export function explain(errors: readonly SchemaError[], value: unknown): Explanation {
  const depth = ({ instancePath }: SchemaError) => instancePath.split('/').length;
  const deepest = Math.max(...errors.map(depth));
  const place = errors.find((error) => depth(error) === deepest)?.instancePath ?? '';
  const here = errors.filter(({ instancePath, keyword }) => instancePath === place && keyword !== 'anyOf');
  return { field: place.slice(1).replaceAll('/', '.'), what: predicate(here, valueAt(value, place)) };
}

function predicate(errors: readonly SchemaError[], value: unknown): string {
  const all = (keyword: string) => errors.filter((error) => error.keyword === keyword);
  const params = (keyword: string, name: string) =>
    all(keyword).flatMap((error) => (error.params as Record<string, unknown> | undefined)?.[name] ?? []);
  // How a schema without additional properties rejects a field.
  if (all('boolean').length > 0) return 'is not a field of this request';
  const allowed = [...params('enum', 'allowedValues'), ...params('const', 'allowedValue')];
  if (allowed.length > 0) return `must be one of ${allowed.join(', ')}; received ${show(value)}`;
  const other = errors.find(({ keyword }) => keyword !== 'type');
  if (other?.keyword === 'required') return `needs ${params('required', 'requiredProperties').join(', ')}`;
  if (other !== undefined) return other.message;
  const types = [...new Set(params('type', 'type'))];
  return types.length === 0 ? 'is not valid' : `must be ${types.join(' or ')}; received ${typeOf(value)}`;
}

function valueAt(value: unknown, pointer: string): unknown {
  const keys = pointer.split('/').slice(1);
  return keys.reduce<unknown>(
    (inner, key) => (typeof inner === 'object' && inner !== null ? (inner as Record<string, unknown>)[key] : undefined),
    value,
  );
}

function typeOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  return `${typeof value === 'object' ? 'an' : 'a'} ${typeof value}`;
}

function show(value: unknown): string {
  const text = typeof value === 'string' ? JSON.stringify(value) : typeOf(value);
  return text.length > MAX_SHOWN_CHARACTERS ? `${text.slice(0, MAX_SHOWN_CHARACTERS)}...` : text;
}
