import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { snapshotSchema } from '../src/http/schemas/backup.js';

/** Backups, for the operator. */
export const backupRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { backups, models } = app.service;

  app.post(
    '/admin/snapshot',
    { config: { writes: true, administers: true }, schema: snapshotSchema },
    async (request, reply) => {
      const served = models.all;
      const leases = served.map((model) => models.lease(model));
      try {
        const { createdAt, ...backup } = await backups.create(served, request.query);
        return await reply.code(201).send({ ...backup, created_at: createdAt.toISOString() });
      } finally {
        for (const end of leases) end();
      }
    },
  );
};
