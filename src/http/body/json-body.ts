import { deserialize } from 'node:v8';
import type { FastifyInstance, FastifyRequest, RouteOptions } from 'fastify';
import { Tinypool } from 'tinypool';
import type { TSchema } from 'typebox';
import { clientClosed, Problem } from '../../common/errors.js';
import { yieldToEventLoop } from '../../lib/async/event-loop.js';
import { isParsedAtOnce, parseJson } from './json.js';
import type { Checked, Task } from './json-worker.js';

const WORKER = new URL('./json-worker.js', import.meta.url).href;
/** An idle worker ends after this long. */
const IDLE_MS = 10_000;

/**
 * Reads JSON bodies without holding the event loop: a body of many values or bytes is parsed and checked in a worker
 * thread, and only what the schema of its route admits comes back, piece by piece.
 */
export function readJsonBodies(app: FastifyInstance): void {
  const pool = new Tinypool({ filename: WORKER, minThreads: 0, maxThreads: 1, idleTimeout: IDLE_MS });
  app.addHook('onClose', () => pool.destroy());
  app.removeContentTypeParser('application/json');
  app.addContentTypeParser(
    'application/json',
    { parseAs: 'buffer' },
    async (request: FastifyRequest, bytes: Buffer) => {
      if (bytes.length === 0) throw new Problem('empty_body', 'The body is empty: send JSON.');
      if (isParsedAtOnce(bytes)) return parseJson(bytes);
      return await parseInWorker(pool, bytes, request);
    },
  );
}

async function parseInWorker(pool: Tinypool, bytes: Buffer, request: FastifyRequest): Promise<unknown> {
  const { signal } = request.scope;
  const schema = JSON.stringify(bodySchema(request.routeOptions) ?? {});
  const checked: Checked = await pool.run({ bytes, schema } satisfies Task, { signal }).catch((error: unknown) => {
    throw signal.aborted ? clientClosed() : error;
  });
  if ('problem' in checked) {
    const { code, detail, extensions } = checked.problem;
    throw new Problem(code, detail, extensions);
  }
  if ('value' in checked) return deserialize(checked.value);
  const entries: unknown[] = [];
  for (const slice of checked.slices) {
    entries.push(...deserialize(slice));
    await yieldToEventLoop();
  }
  return entries;
}

/** What the route takes as JSON; undefined for a route without a body. */
function bodySchema({ schema }: Pick<RouteOptions, 'schema'>): TSchema | undefined {
  const body = schema?.body as { content?: Record<string, { schema: TSchema }> } | undefined;
  return body?.content?.['application/json']?.schema;
}
