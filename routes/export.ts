import { Readable } from 'node:stream';
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Problem } from '../src/common/errors.js';
import { LongReplies } from '../src/http/long-replies.js';
import { MAX_EXPORTS } from '../src/http/request-limits.js';
import { exportSchema } from '../src/http/schemas/export.js';
import { exportLines } from '../src/store/export-import.js';

/** A client that takes nothing for so long is cut off: it would keep others from exporting. */
const STALLED_MS = 60_000;

/** Everything that is stored, as a stream. */
export const exportRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { models } = app.service;
  const underWay = new LongReplies(app);

  app.get('/export', { schema: exportSchema }, async (request, reply) => {
    const { after, model } = request.query;
    const { store } = request.scope.use(models.get(model));
    if (underWay.size >= MAX_EXPORTS)
      throw new Problem('overloaded', `${underWay.size} exports are under way already; try again when one has ended.`);
    underWay.add(reply.raw);
    reply.raw.setTimeout(STALLED_MS, () => reply.raw.destroy());
    // Refuses before the reply begins: afterwards an error can only cut it off.
    await store.list({ limit: 1 });
    // Reads on only as fast as the client receives, and stops when it disconnects.
    const lines = Readable.from(exportLines(store, after));
    // Typed by its schema as the text that the stream is.
    return reply.type('application/x-ndjson').send(lines as unknown as string);
  });
};
