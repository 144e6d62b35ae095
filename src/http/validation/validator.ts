import { Ajv, type KeywordDefinition, type ValidateFunction } from 'ajv';
import type { FastifySchemaCompiler } from 'fastify';
import type { Static, TObject, TSchema } from 'typebox';
import { Problem } from '../../common/errors.js';
import { excessOf, JSON_BOUNDS, type JsonExcess } from '../../store/validate.js';
import { hasMoreValues, MAX_INLINE_VALUES, parseJson } from '../body/json.js';
import { BOUNDED, EACH } from '../schemas/common.js';
import { explain } from './error-message.js';
import { Refused } from './refused.js';

/**
 * Checks values against the schemas of the routes, at a cost that the schemas bound, whatever the value: a check stops
 * at its first violation (of each branch of a union), a list that is too long is refused before its entries are looked
 * at, a string before its characters are, and `bounded` limits objects of any shape.
 */
function newAjv(options: { coerceTypes: boolean }): Ajv {
  // Schemas also have keywords of OpenAPI.
  const ajv = new Ajv({
    ...options,
    allErrors: false,
    useDefaults: true,
    strict: false,
    validateFormats: false,
    // Errors say which branch of a union reports them.
    verbose: true,
  });
  for (const keyword of [MIN_LENGTH, MAX_LENGTH]) ajv.removeKeyword(keyword.keyword as string).addKeyword(keyword);
  return ajv.addKeyword(BOUNDED_KEYWORD).addKeyword(EACH_KEYWORD).addKeyword(NULLS_KEYWORD);
}

/** Counts the code points of a string only when its length alone does not decide: a code point has one or two units. */
function codePoints(text: string): number {
  let count = text.length;
  for (let i = 0; i < text.length; i++) if ((text.codePointAt(i) as number) > 0xffff) count--;
  return count;
}
const MAX_LENGTH: KeywordDefinition = {
  keyword: 'maxLength',
  type: 'string',
  before: 'pattern',
  compile: (max: number) => (text: string) => text.length <= max || (text.length <= 2 * max && codePoints(text) <= max),
  error: { message: ({ schema }) => `must not have more than ${schema} characters` },
};
const MIN_LENGTH: KeywordDefinition = {
  keyword: 'minLength',
  type: 'string',
  before: 'pattern',
  compile: (min: number) => (text: string) => text.length >= 2 * min || codePoints(text) >= min,
  error: { message: ({ schema }) => `must not have fewer than ${schema} characters` },
};

/** How objects of any shape exceed what the store takes, in words. */
const EXCESSES: Record<JsonExcess, string> = {
  depth: `nests deeper than ${JSON_BOUNDS.depth} levels`,
  values: `has more than ${JSON_BOUNDS.values} values`,
  prototype: 'has the field "__proto__"',
};
const BOUNDED_KEYWORD: KeywordDefinition = {
  keyword: BOUNDED,
  type: 'object',
  schemaType: 'boolean',
  errors: 'full',
  compile: () => {
    const check: { (value: unknown): boolean; errors?: object[] } = (value) => {
      const excess = excessOf(value);
      if (excess === undefined) return true;
      check.errors = [{ keyword: BOUNDED, message: EXCESSES[excess], params: {} }];
      return false;
    };
    return check as never;
  },
};

/** Checks the entries of a list one by one, and puts a `Refused` in the place of each that does not fit. */
const EACH_KEYWORD: KeywordDefinition = {
  keyword: EACH,
  type: 'array',
  schemaType: 'object',
  modifying: true,
  errors: false,
  compile: (schema: TSchema) => (list: unknown[], context) => {
    const validator = compiled(schema, 'json');
    const at = context?.instancePath.split('/').slice(1) ?? [];
    list.forEach((entry, i) => {
      if (entry instanceof Refused) return;
      const problem = violation(validator, entry, 'body', [...at, String(i)]);
      if (problem !== undefined) list[i] = new Refused(problem);
    });
    return true;
  },
};

/** The keyword of an object whose fields count as absent where they are null. Many clients send every field they know. */
const NULLS = 'x-nulls';
const NULLS_KEYWORD: KeywordDefinition = {
  keyword: NULLS,
  type: 'object',
  // The first keyword of objects: the others see the object without them.
  before: 'maxProperties',
  modifying: true,
  errors: false,
  compile: (properties: Record<string, { default?: unknown }>) => (value: Record<string, unknown>) => {
    for (const [name, { default: otherwise }] of Object.entries(properties)) {
      if (value[name] !== null) continue;
      if (otherwise === undefined) delete value[name];
      else value[name] = otherwise;
    }
    return true;
  },
};

/** A schema in which null means absent, in each object whose fields it names. */
function nullable(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(nullable);
  if (typeof schema !== 'object' || schema === null) return schema;
  const copy = Object.fromEntries(
    Object.entries(schema).map(([key, inner]) => [key, key === EACH ? inner : nullable(inner)]),
  );
  const { type, properties } = copy as { type?: unknown; properties?: unknown };
  return type === 'object' && typeof properties === 'object' ? { ...copy, [NULLS]: properties } : copy;
}

/** In a JSON body the types must be right; text (query, path, fields of a form) becomes numbers and booleans. */
const AJVS = { json: newAjv({ coerceTypes: false }), text: newAjv({ coerceTypes: true }) };

/** Compiled once for each schema: the compilation takes some milliseconds. */
const validators = { json: new WeakMap<TSchema, ValidateFunction>(), text: new WeakMap<TSchema, ValidateFunction>() };

function compiled(schema: TSchema, from: 'json' | 'text'): ValidateFunction {
  const validator = validators[from].get(schema) ?? AJVS[from].compile(nullable(schema) as TSchema);
  validators[from].set(schema, validator);
  return validator;
}

/**
 * Checks a request against the schema of its route and fills in defaults. Only text (query, path) is converted to
 * numbers and booleans; in a JSON body the types must be right.
 */
export const validatorCompiler: FastifySchemaCompiler<TSchema> = ({ schema, httpPart = 'body', contentType }) => {
  // A streamed body (multipart, or a raw file) is checked while it is read.
  if (contentType !== undefined && contentType !== 'application/json') return (value: unknown) => ({ value });
  const validator = compiled(schema, httpPart === 'body' ? 'json' : 'text');
  return (value: unknown) => {
    const problem = violation(validator, value, httpPart);
    return problem === undefined ? { value } : { error: problem };
  };
};

/**
 * Checks a JSON body as its route does.
 * @returns the Problem `invalid_request` that names the wrong place; undefined when the value fits
 */
export const violationOf = (schema: TSchema, value: unknown): Problem | undefined =>
  violation(compiled(schema, 'json'), value, 'body');

/** @param at the keys from the part of the request to the value */
function violation(validator: ValidateFunction, value: unknown, part: string, at: string[] = []): Problem | undefined {
  if (validator(value)) return undefined;
  const { field: inner, what } = explain(validator.errors ?? [], value);
  const field = [...at, ...(inner === '' ? [] : [inner])].join('.');
  const subject = field === '' ? `The ${part}` : `${part}.${field}`;
  return new Problem('invalid_request', `${subject} ${what}.`, { in: part, field });
}

/**
 * Multipart fields, which are text, as the values of `schema`: numbers are converted, objects and arrays parsed as JSON.
 * @throws Problem `invalid_request` that names the field
 */
export function parseFields<Schema extends TObject>(schema: Schema, fields: Record<string, unknown>): Static<Schema> {
  const given = Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [name, parseField(schema.properties[name], name, value)]),
  );
  const problem = violation(compiled(schema, 'text'), given, 'body');
  if (problem !== undefined) throw problem;
  return given as Static<Schema>;
}

function parseField(schema: TSchema | undefined, name: string, value: unknown): unknown {
  const isJson = schema !== undefined && 'type' in schema && (schema.type === 'object' || schema.type === 'array');
  if (typeof value !== 'string' || !isJson) return value;
  const bytes = Buffer.from(value);
  const place = { in: 'body', field: name };
  if (hasMoreValues(bytes, MAX_INLINE_VALUES))
    throw new Problem('too_large', `The field "${name}" has more than ${MAX_INLINE_VALUES} values.`, place);
  try {
    return parseJson(bytes);
  } catch {
    throw new Problem('invalid_json', `The field "${name}" is not valid JSON.`, place);
  }
}
