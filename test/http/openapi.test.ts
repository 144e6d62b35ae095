import { createConfig, lintFromString } from '@redocly/openapi-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startServer, type TestServer } from '../server.js';

interface Media {
  example?: unknown;
  examples?: Record<string, { value: unknown }>;
}
interface Operation {
  operationId: string;
  requestBody?: { content: Record<string, Media> };
  responses: Record<string, unknown>;
}
interface Document {
  openapi: string;
  paths: Record<string, Record<string, Operation>>;
}

let server: TestServer;
let document: Document;

beforeAll(async () => {
  server = await startServer({ MEDIA_ROOTS: 'photos=samples/photos' });
  document = (await (await fetch(`${server.url}/openapi.json`)).json()) as Document;
});
afterAll(() => server.close());

const operations = () =>
  Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, ...operation })),
  );

/** Every example of a JSON body in the document. */
const examples = () =>
  operations().flatMap(({ path, method, requestBody }) => {
    const media = requestBody?.content['application/json'];
    const values = Object.values(media?.examples ?? {}).map(({ value }) => value);
    return (media?.example === undefined ? values : [media.example, ...values]).map((body) => ({ path, method, body }));
  });

describe('the OpenAPI document', () => {
  // `npm run openapi` updates the committed copy.
  it('equals the committed one', async () => {
    await expect(`${JSON.stringify(document, null, 2)}\n`).toMatchFileSnapshot('../../docs/openapi.json');
  });

  it('passes a linter that reports violations', async () => {
    const config = await createConfig({ extends: ['recommended-strict'] });
    const complaints = async (source: string) => {
      const found = await lintFromString({ source, config });
      return found.map(({ ruleId, message }) => `${ruleId}: ${message}`);
    };
    expect(await complaints(JSON.stringify(document))).toEqual([]);
    const paths = { ...document.paths, '/health': { get: { summary: 'An operation that answers nothing.' } } };
    expect((await complaints(JSON.stringify({ ...document, paths }))).length).toBeGreaterThan(0);
  });

  it('describes every route, each with its errors', () => {
    expect(document.openapi).toBe('3.1.0');
    const known = operations().map(({ path, method }) => `${method} ${path}`);
    expect(known.sort()).toEqual([
      'delete /admin/rollout',
      'delete /items',
      'delete /items/{id}',
      'get /admin/rollout',
      'get /duplicates',
      'get /export',
      'get /health',
      'get /items',
      'get /items/{id}',
      'get /items/{id}/media',
      'get /items/{id}/similar',
      'get /items/{id}/thumbnail',
      'get /jobs',
      'get /jobs/{id}',
      'get /jobs/{id}/refused',
      'get /livez',
      'get /metrics',
      'get /readyz',
      'get /v1/models',
      'get /v1/models/{id}',
      'patch /admin/rollout',
      'post /admin/rollout',
      'post /admin/rollout/promote',
      'post /admin/rollout/rollback',
      'post /admin/snapshot',
      'post /embed',
      'post /embed/image',
      'post /embed/text',
      'post /embed/video',
      'post /items',
      'post /jobs',
      'post /jobs/{id}/cancel',
      'post /jobs/{id}/pause',
      'post /jobs/{id}/resume',
      'post /retrieve',
      'post /v1/embeddings',
    ]);
    for (const { operationId, responses } of operations()) {
      expect(Object.keys(responses), operationId).toEqual(expect.arrayContaining(['4XX', '5XX']));
    }
    const { content } = document.paths['/embed']?.post?.requestBody ?? { content: {} };
    expect(Object.keys(content)).toEqual([
      'application/json',
      'multipart/form-data',
      'image/*',
      'video/*',
      'application/octet-stream',
    ]);
  });

  it('has examples that the service accepts', async () => {
    expect(examples().length).toBeGreaterThanOrEqual(12);
    for (const { path, method, body } of examples()) {
      const response = await fetch(server.url + path, {
        method: method.toUpperCase(),
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });
      expect(response.ok, `${path} ${JSON.stringify(body)}: ${await response.text()}`).toBe(true);
    }
  });

  it('has a page that loads nothing from other hosts', async () => {
    const page = await (await fetch(`${server.url}/docs/`)).text();
    const links = [...page.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, link = '']) => link);
    expect(links.length).toBeGreaterThan(3);
    for (const link of links) {
      const url = new URL(link, `${server.url}/docs/`);
      expect(url.origin).toBe(server.url);
      const response = await fetch(url);
      expect(response.status, link).toBe(200);
      expect((await response.text()).length).toBeGreaterThan(0);
    }
    const shown = (await (await fetch(`${server.url}/docs/json`)).json()) as Document;
    expect(Object.keys(shown.paths)).toEqual(Object.keys(document.paths));
  });
});
