import { Readable } from 'node:stream';
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Problem } from '../src/common/errors.js';
import { MAX_EXPORTS } from '../src/http/request-limits.js';
import { exportSchema } from '../src/http/schemas/export.js';
import { exportLines } from '../src/store/export-import.js';

/** A client that takes nothing for so long is cut off: it would keep others from exporting. */
const STALLED_MS = 60_000;

/** Everything that is stored, as a stream. */
export const exportRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { models } = app.service;
  const closing = new AbortController();
  let underWay = 0;

  // An export may last longer than a shutdown: it is cut off, which its reader notices, and can be continued.
  app.addHook('preClose', async () => closing.abort());

  app.get('/export', { schema: exportSchema }, async (request, reply) => {
    const { after, model } = request.query;
    const { store } = request.scope.use(models.get(model));
    if (underWay >= MAX_EXPORTS)
      throw new Problem('overloaded', `${underWay} exports are under way already; try again when one has ended.`);
    underWay += 1;
    reply.raw.once('close', () => {
      underWay -= 1;
    });
    reply.raw.setTimeout(STALLED_MS, () => reply.raw.destroy());
    // Refuses before the reply begins: afterwards an error can only cut it off.
    await store.list({ limit: 1 });
    // Reads on only as fast as the client receives, and stops when it disconnects.
    const lines = Readable.from(exportLines(store, after), { signal: closing.signal });
    // Typed by its schema as the text that the stream is.
    return reply.type('application/x-ndjson').send(lines as unknown as string);
  });
};
