type Json = Record<string, unknown>;
interface Operation {
  requestBody?: { content: Record<string, { schema: { properties?: Record<string, Json> } }> };
}

const FORM = 'multipart/form-data';

/**
 * The document as the page at /docs reads it, one level below the service. The page fills in a sample for every field of
 * a form (`model: string`): here optional fields begin empty, so that a form can be sent with nothing but a file chosen.
 */
export function pageDocument(document: Json): Json {
  const paths = mapValues(document.paths as Record<string, Record<string, Operation>>, (methods) =>
    mapValues(methods, withEmptyForm),
  );
  return { ...document, servers: [{ url: '..' }], paths };
}

function withEmptyForm(operation: Operation): Operation {
  const { content } = operation.requestBody ?? {};
  const form = content?.[FORM];
  if (form?.schema.properties === undefined) return operation;
  const schema = { ...form.schema, properties: mapValues(form.schema.properties, beginEmpty) };
  return {
    ...operation,
    requestBody: { ...operation.requestBody, content: { ...content, [FORM]: { ...form, schema } } },
  };
}

function beginEmpty(field: Json): Json {
  const isFiles = (field.items as Json | undefined)?.format === 'binary';
  return isFiles ? field : { ...field, examples: [field.type === 'array' ? [] : ''] };
}

const mapValues = <From, To>(object: Record<string, From>, change: (value: From) => To): Record<string, To> =>
  Object.fromEntries(Object.entries(object).map(([key, value]) => [key, change(value)]));
