import { isDeepStrictEqual } from 'node:util';
import { BOUNDED, EACH } from '../schemas/common.js';

type Json = Record<string, unknown>;

/**
 * Simplifies the generated document for readers and code generators: a schema with a title becomes a component of that
 * name, and a field with a default is not required.
 * @throws Error when two different schemas have one title
 */
export function tidyDocument(document: Json): Json {
  const schemas: Json = {};
  const { components, ...rest } = document;
  const tidied = tidy(rest, schemas) as Json;
  return { ...tidied, components: { ...(components as Json), schemas: sorted(schemas) } };
}

function tidy(value: unknown, schemas: Json): unknown {
  if (Array.isArray(value)) return value.map((one) => tidy(one, schemas));
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value)
    .filter(([key]) => key !== BOUNDED)
    // Examples are data, not schemas.
    .map(([key, one]) => (key.startsWith('example') ? [key, one] : [key === EACH ? 'items' : key, tidy(one, schemas)]));
  const copy = optionalWhereDefault(Object.fromEntries(entries));
  return isTitled(copy) ? hoist(copy, schemas) : copy;
}

const isTitled = (value: Json): value is Json & { title: string } =>
  typeof value.title === 'string' && ('type' in value || 'anyOf' in value);

function hoist(schema: Json & { title: string }, schemas: Json): Json {
  const { title } = schema;
  const known = schemas[title];
  if (known !== undefined && !isDeepStrictEqual(known, schema)) throw new Error(`Two schemas have the title ${title}.`);
  schemas[title] = schema;
  return { $ref: `#/components/schemas/${title}` };
}

function optionalWhereDefault(value: Json): Json {
  const hasDefault = (schema: unknown) => typeof schema === 'object' && schema !== null && 'default' in schema;
  if (value.required === true && hasDefault(value.schema)) return { ...value, required: false };
  if (!Array.isArray(value.required)) return value;
  const properties = (value.properties ?? {}) as Json;
  const required = value.required.filter((name: string) => !hasDefault(properties[name]));
  const { required: _, ...others } = value;
  return required.length === 0 ? others : { ...value, required };
}

const sorted = (value: Json): Json => Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
