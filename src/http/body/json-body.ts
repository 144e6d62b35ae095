import { deserialize } from 'node:v8';
import type { FastifyInstance, FastifyRequest, RouteOptions } from 'fastify';
import { Tinypool } from 'tinypool';
import type { TSchema } from 'typebox';
import { clientClosed, Problem } from '../../common/errors.js';
import { yieldToEventLoop } from '../../lib/async/event-loop.js';
import { Semaphore } from '../../lib/async/semaphore.js';
import { putRefused } from '../validation/refused.js';
import { isParsedAtOnce, parseJson } from './json.js';
import type { Checked, Task } from './json-worker.js';

const WORKER = new URL('./json-worker.js', import.meta.url).href;
/** An idle worker ends after this long: starting one takes a core for almost half a second. */
const IDLE_MS = 300_000;

/**
 * Reads JSON bodies without holding the event loop: a body of many values or bytes is parsed and checked in a worker
 * thread, and only what the schema of its route admits comes back, piece by piece.
 */
export function readJsonBodies(app: FastifyInstance): void {
  const pool = new Tinypool({ filename: WORKER, minThreads: 0, maxThreads: 1, idleTimeout: IDLE_MS });
  // A body whose client has gone leaves the queue here, but is never cancelled in the pool, which would end the thread.
  const queue = new Semaphore(1);
  app.addHook('onClose', () => pool.destroy());
  app.removeContentTypeParser('application/json');
  app.addContentTypeParser(
    'application/json',
    { parseAs: 'buffer' },
    async (request: FastifyRequest, bytes: Buffer) => {
      if (bytes.length === 0) throw new Problem('empty_body', 'The body is empty: send JSON.');
      if (isParsedAtOnce(bytes)) return parseJson(bytes);
      const schema = JSON.stringify(bodySchema(request.routeOptions) ?? {});
      const parse = (): Promise<Checked> => pool.run({ bytes, schema } satisfies Task);
      const { signal } = request.scope;
      const checked = await queue.use(parse, { signal });
      // Nothing of it is read for a client that went meanwhile.
      if (signal.aborted) throw clientClosed();
      return await received(checked);
    },
  );
}

/** What the worker has admitted. @throws Problem that it found */
async function received(checked: Checked): Promise<unknown> {
  if ('problem' in checked) {
    const { code, detail, extensions } = checked.problem;
    throw new Problem(code, detail, extensions);
  }
  if ('value' in checked) {
    const value = deserialize(checked.value);
    putRefused(value, checked.refused);
    return value;
  }
  const entries: unknown[] = [];
  for (const slice of checked.slices) {
    entries.push(...deserialize(slice));
    await yieldToEventLoop();
  }
  putRefused(entries, checked.refused);
  return entries;
}

/** What the route takes as JSON; undefined for a route without a body. */
function bodySchema({ schema }: Pick<RouteOptions, 'schema'>): TSchema | undefined {
  const body = schema?.body as { content?: Record<string, { schema: TSchema }> } | undefined;
  return body?.content?.['application/json']?.schema;
}
