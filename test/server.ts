import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { FastifyInstance } from 'fastify';
import { buildApp } from '../src/app.js';
import type { ProblemDocument } from '../src/common/errors.js';
import { loadConfig } from '../src/config.js';

/** A real service on a free loopback port, with a data folder of its own. */
export interface TestServer {
  app: FastifyInstance;
  url: string;
  dataDir: string;
  /** POSTs JSON. */
  json(route: string, body: unknown): Promise<Response>;
  /** POSTs a multipart form: strings are fields, bytes are files. */
  form(route: string, parts: Record<string, string | Uint8Array>): Promise<Response>;
  close(): Promise<void>;
}

export async function startServer(settings: Record<string, string> = {}): Promise<TestServer> {
  const dataDir = settings.DATA_DIR ?? (await mkdtemp(path.join(tmpdir(), 'onespace-test-')));
  const app = await buildApp(loadConfig({ LOG_LEVEL: 'silent', PORT: '0', ...settings, DATA_DIR: dataDir }));
  const url = await app.listen({ host: '127.0.0.1', port: Number(settings.PORT ?? 0) });
  return {
    app,
    url,
    dataDir,
    json: (route, body) =>
      fetch(url + route, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: typeof body === 'string' ? body : JSON.stringify(body),
      }),
    form: (route, parts) => fetch(url + route, { method: 'POST', body: toForm(parts) }),
    async close() {
      await app.close();
      if (settings.DATA_DIR === undefined) await rm(dataDir, { recursive: true });
    },
  };
}

function toForm(parts: Record<string, string | Uint8Array>): FormData {
  const form = new FormData();
  for (const [name, value] of Object.entries(parts)) {
    if (typeof value === 'string') form.append(name, value);
    else form.append('file', new Blob([new Uint8Array(value)]), name);
  }
  return form;
}

/** The problem document of a reply, after the checks that hold for every problem. */
export async function problemOf(response: Response): Promise<ProblemDocument> {
  const problem = (await response.json()) as ProblemDocument;
  const type = response.headers.get('content-type');
  if (!type?.startsWith('application/problem+json')) throw new Error(`not a problem document: ${type}`);
  if (problem.status !== response.status) throw new Error(`${problem.status} in the document, ${response.status} sent`);
  if (problem.request_id !== response.headers.get('x-request-id')) throw new Error('the request ids differ');
  return problem;
}

export const dot = (a: readonly number[], b: readonly number[]) => a.reduce((sum, x, i) => sum + x * (b[i] ?? 0), 0);
