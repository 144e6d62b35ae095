import { Readable } from 'node:stream';
import type { FastifySchemaCompiler } from 'fastify';
import type { Static, TObject, TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import { Value } from 'typebox/value';
import { Problem } from '../src/errors.js';

/**
 * Checks a request against a route's schema and fills in its defaults. Only what comes as text (query, path)
 * is converted to numbers and booleans: a JSON body must say what it means.
 */
export const validatorCompiler: FastifySchemaCompiler<TSchema> = ({ schema, httpPart = 'body' }) => {
  const validator = Compile(schema);
  return (value: unknown) => {
    // A body that streams (multipart, or a raw file) is checked while it is read.
    if (httpPart === 'body' && (value === undefined || value instanceof Readable)) return { value };
    const given = httpPart === 'body' ? value : Value.Convert(schema, value);
    const complete = Value.Default(schema, given);
    if (validator.Check(complete)) return { value: complete };
    return { error: toProblem(httpPart, validator.Errors(complete)) };
  };
};

/**
 * Multipart fields, which are text, as the values of `schema`: numbers are converted, objects and arrays read as JSON.
 * @throws Problem `invalid_request` that names the field
 */
export function parseFields<Schema extends TObject>(schema: Schema, fields: Record<string, unknown>): Static<Schema> {
  const given = Object.entries(fields).map(([name, value]) => [name, parseField(schema.properties[name], name, value)]);
  const complete = Value.Default(schema, Value.Convert(schema, Object.fromEntries(given)));
  if (Value.Check(schema, complete)) return complete;
  throw toProblem('body', Value.Errors(schema, complete));
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

interface SchemaError {
  instancePath: string;
  message: string;
  params?: object;
}

/** The deepest error says most: a union's members complain before the union does. */
function toProblem(part: string, errors: readonly SchemaError[]): Problem {
  const depth = ({ instancePath }: SchemaError) => instancePath.split('/').length;
  const [first] = [...errors].sort((a, b) => depth(b) - depth(a));
  const field = first?.instancePath.slice(1).replaceAll('/', '.') ?? '';
  const subject = field === '' ? `The ${part}` : `${part}.${field}`;
  return new Problem('invalid_request', `${subject} ${explain(first)}.`, { in: part, field });
}

function explain(error: SchemaError | undefined): string {
  if (error === undefined) return 'is not valid';
  // How a schema without additional properties says no to a field.
  if (error.message === 'schema is false') return 'is not a field of this request';
  const allowed = (error.params as { allowedValues?: unknown[] } | undefined)?.allowedValues;
  return allowed === undefined ? error.message : `must be one of ${allowed.join(', ')}`;
}
