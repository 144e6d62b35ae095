import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ProblemDocument } from '../../src/common/errors.js';
import { startServer, type TestServer } from '../server.js';
import { Arbitraries, type Schema } from './arbitrary.js';

/** A longer run: PROPERTY_REQUESTS=5000 npx vitest run test/http/properties.test.ts */
const REQUESTS = Number(process.env.PROPERTY_REQUESTS ?? 300);
/** A failure prints its seed; PROPERTY_SEED repeats it. */
const SEED = Number(process.env.PROPERTY_SEED ?? 20_261_123);
const SECONDS_PER_REQUEST_MOST = 2;

interface Parameter {
  name: string;
  in: 'path' | 'query';
  required?: boolean;
  schema: Schema;
}
interface Operation {
  parameters?: Parameter[];
  requestBody?: { content: Record<string, { schema: Schema }> };
}
interface Document {
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Schema> };
}
interface Generated {
  method: string;
  path: string;
  contentType?: string;
  body?: string;
}

const BOUNDARY = 'a-boundary-of-this-test';
const ODD_BODIES = ['', '{', 'null', '[]', '"', '{"text":"a"}x', '\u0000', '{"__proto__":{"a":1}}', '['.repeat(50_000)];

let server: TestServer;
let document: Document;

beforeAll(async () => {
  server = await startServer();
  await server.json('/items', { id: 'item-1', text: 'a red car' });
  document = (await (await fetch(`${server.url}/openapi.json`)).json()) as Document;
});
afterAll(() => server.close());

/** Requests to every operation of the document, with JSON, forms and raw bytes, valid and invalid. */
function anyRequest(): fc.Arbitrary<Generated> {
  const arbitraries = new Arbitraries(document.components.schemas);
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) =>
      fc.record({
        method: fc.constant(method.toUpperCase()),
        path: anyPath(path, operation.parameters ?? [], arbitraries),
        content: anyContent(operation, arbitraries),
      }),
    ),
  );
  return fc.oneof(...operations).map(({ content, ...rest }) => ({ ...rest, ...content }));
}

function anyPath(path: string, parameters: readonly Parameter[], arbitraries: Arbitraries): fc.Arbitrary<string> {
  const values = parameters.map((parameter) =>
    fc.tuple(fc.constant(parameter), arbitraries.value(parameter.schema), fc.boolean()),
  );
  return fc.tuple(...values).map((given) => {
    const query: string[] = [];
    let filled = path;
    for (const [{ name, in: place }, value, isSent] of given) {
      const text = encode(typeof value === 'object' ? JSON.stringify(value) : String(value));
      if (place === 'path') filled = filled.replace(`{${name}}`, text);
      else if (isSent) query.push(`${name}=${text}`);
    }
    return query.length === 0 ? filled : `${filled}?${query.join('&')}`;
  });
}

/** A lone surrogate has no percent-encoding. */
const encode = (text: string) => encodeURIComponent(text.replace(/\p{Surrogate}/gu, '?'));

function anyContent(
  { requestBody }: Operation,
  arbitraries: Arbitraries,
): fc.Arbitrary<Omit<Generated, 'method' | 'path'>> {
  if (requestBody === undefined) return fc.constant({});
  const contents = Object.entries(requestBody.content).map(([type, { schema }]) => {
    if (type === 'application/json') {
      const right = arbitraries.value(schema).map((value) => JSON.stringify(value));
      const odd = fc.constantFrom(...ODD_BODIES);
      const bodies = fc.oneof({ weight: 9, arbitrary: right }, { weight: 1, arbitrary: odd });
      return { weight: 6, arbitrary: bodies.map((body) => ({ contentType: type, body })) };
    }
    if (type === 'multipart/form-data') return { weight: 2, arbitrary: anyForm(schema, arbitraries) };
    const bytes = fc.string({ unit: 'binary', maxLength: 200 });
    return { weight: 1, arbitrary: bytes.map((body) => ({ contentType: type.replace('*', 'png'), body })) };
  });
  const wrongType = fc.constantFrom('text/plain', 'application/xml', 'application/json; charset=utf-7', 'nonsense', '');
  const wrong = wrongType.map((contentType) => ({ contentType, body: '{"text":"a"}' }));
  return fc.oneof(...contents, { weight: 1, arbitrary: wrong });
}

function anyForm(
  { properties = {} }: Schema,
  arbitraries: Arbitraries,
): fc.Arbitrary<Omit<Generated, 'method' | 'path'>> {
  const names = [...Object.keys(properties), '__proto__', 'unknown'];
  const part = fc.constantFrom(...names).chain((name) =>
    fc.record({
      name: fc.constant(name),
      value: arbitraries
        .value(properties[name] ?? {})
        .map((value) => (typeof value === 'string' ? value : JSON.stringify(value))),
      isFile: fc.boolean(),
    }),
  );
  return fc.tuple(fc.array(part, { maxLength: 4 }), fc.boolean()).map(([parts, isWhole]) => ({
    contentType: `multipart/form-data; boundary=${BOUNDARY}`,
    body: [
      ...parts.map(({ name, value, isFile }) => {
        const filename = isFile ? '; filename="../a.png"' : '';
        return `--${BOUNDARY}\r\ncontent-disposition: form-data; name="${name}"${filename}\r\n\r\n${value}\r\n`;
      }),
      isWhole ? `--${BOUNDARY}--\r\n` : '',
    ].join(''),
  }));
}

/** Sends a request and checks its reply. @returns whether the request succeeded */
async function askHonestly({ method, path, contentType, body }: Generated): Promise<boolean> {
  const headers: Record<string, string> = contentType ? { 'content-type': contentType } : {};
  const response = await fetch(server.url + path, { method, headers, body: body ?? null });
  const text = await response.text();
  expect(response.status, text).toBeLessThan(500);
  if (response.ok) return true;
  expect(response.headers.get('content-type')).toMatch(/^application\/problem\+json/);
  const problem = JSON.parse(text) as ProblemDocument;
  expect(problem).toMatchObject({
    status: response.status,
    code: expect.any(String),
    detail: expect.stringMatching(/\.$/),
  });
  expect(problem.request_id).toBe(response.headers.get('x-request-id'));
  expect(text, 'a stack or a path').not.toMatch(/node_modules|\bat \S+ \(|\/src\/|\/dist\//);
  return false;
}

describe('every request that the document can describe', () => {
  it(
    `is answered, or refused with a problem document (${REQUESTS} requests)`,
    async () => {
      let [answered, refused] = [0, 0];
      const isHonest = async (request: Generated) => {
        if (await askHonestly(request)) answered++;
        else refused++;
      };
      await fc.assert(fc.asyncProperty(anyRequest(), isHonest), { numRuns: REQUESTS, seed: SEED });
      // Without many of both kinds, the run would show little.
      expect(answered, 'answered').toBeGreaterThan(REQUESTS / 10);
      expect(refused, 'refused').toBeGreaterThan(REQUESTS / 10);
    },
    REQUESTS * SECONDS_PER_REQUEST_MOST * 1000,
  );
});
