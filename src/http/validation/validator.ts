import type { FastifySchemaCompiler } from 'fastify';
import { type Static, type TObject, type TSchema, Type } from 'typebox';
import { Compile, type Validator } from 'typebox/compile';
import { Value } from 'typebox/value';
import { Problem } from '../../common/errors.js';
import { explain, type SchemaError } from './error-message.js';

/**
 * Checks a request against the schema of its route and fills in defaults. Only text (query, path) is converted to
 * numbers and booleans; in a JSON body the types must be right.
 */
export const validatorCompiler: FastifySchemaCompiler<TSchema> = ({ schema, httpPart = 'body', contentType }) => {
  // A streamed body (multipart, or a raw file) is checked while it is read.
  if (contentType !== undefined && contentType !== 'application/json') return (value: unknown) => ({ value });
  const validator = compiled(schema);
  const defaults = defaultsOf(schema);
  return (value: unknown) => {
    const given = httpPart === 'body' ? value : Value.Convert(schema, value);
    const complete = defaults === undefined ? given : Value.Default(defaults, given);
    if (validator.Check(complete)) return { value: complete };
    return { error: toProblem(httpPart, validator.Errors(complete), complete) };
  };
};

const validators = new WeakMap<TSchema, Validator>();

/** The compiled validator of a schema: interpreting the schema for each request takes many times as long. */
function compiled(schema: TSchema): Validator {
  const validator = validators.get(schema) ?? Compile(schema);
  validators.set(schema, validator);
  return validator;
}

/**
 * The part of a schema that has defaults: filling in defaults visits everything the schema describes, and a vector
 * has a thousand numbers.
 */
function defaultsOf(schema: TSchema): TSchema | undefined {
  if ('default' in schema || !Type.IsObject(schema)) return hasDefault(schema) ? schema : undefined;
  const properties = Object.entries(schema.properties).filter(([, property]) => hasDefault(property));
  return properties.length === 0 ? undefined : Type.Object(Object.fromEntries(properties));
}

const hasDefault = (schema: TSchema): boolean => JSON.stringify(schema).includes('"default":');

/**
 * Multipart fields, which are text, as the values of `schema`: numbers are converted, objects and arrays parsed as JSON.
 * @throws Problem `invalid_request` that names the field
 */
export function parseFields<Schema extends TObject>(schema: Schema, fields: Record<string, unknown>): Static<Schema> {
  const given = Object.entries(fields).map(([name, value]) => [name, parseField(schema.properties[name], name, value)]);
  const complete = Value.Default(schema, Value.Convert(schema, Object.fromEntries(given)));
  const validator = compiled(schema);
  if (validator.Check(complete)) return complete as Static<Schema>;
  throw toProblem('body', validator.Errors(complete), complete);
}

function parseField(schema: TSchema | undefined, name: string, value: unknown): unknown {
  const isJson = schema !== undefined && 'type' in schema && (schema.type === 'object' || schema.type === 'array');
  if (typeof value !== 'string' || !isJson) return value;
  try {
    return JSON.parse(value);
  } catch {
    throw new Problem('invalid_json', `The field "${name}" is not valid JSON.`, { in: 'body', field: name });
  }
}

function toProblem(part: string, errors: readonly SchemaError[], value: unknown): Problem {
  const { field, what } = explain(errors, value);
  const subject = field === '' ? `The ${part}` : `${part}.${field}`;
  return new Problem('invalid_request', `${subject} ${what}.`, { in: part, field });
}
