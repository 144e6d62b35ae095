import path from 'node:path';
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { Static } from 'typebox';
import { Problem } from '../src/common/errors.js';
import { readJson } from '../src/http/body/read-body.js';
import type { JobBody } from '../src/http/schemas/jobs.js';
import {
  changeJobSchema,
  createJobSchema,
  getJobSchema,
  type JobDocument,
  listJobsSchema,
  refusedFilesSchema,
} from '../src/http/schemas/jobs.js';
import type { Job } from '../src/jobs/job.js';

const writes = { writes: true };

/** Work that no connection waits for. */
export const jobRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { jobs, models, roots } = app.service;

  app.post('/jobs', { config: writes, schema: createJobSchema }, async (request, reply) => {
    const { folder: asked, prune, all, dry_run, model } = readJson<typeof JobBody>(request);
    const folder = path.isAbsolute(asked) ? await roots.nameOf(asked) : asked;
    if (folder === undefined) throw new Problem('not_found', 'The folder lies below no media root (MEDIA_ROOTS).');
    // What is wrong with the request is said at once, not by a job that fails.
    await roots.findFolder(folder, 'body.folder');
    request.scope.use(models.get(model));
    const job = await jobs.createForFolder({ folder, prune, all, dry_run, ...(model === undefined ? {} : { model }) });
    return reply.code(202).header('location', `/jobs/${job.id}`).send(toDocument(job));
  });

  app.get('/jobs', { schema: listJobsSchema }, async () => ({ jobs: jobs.all.map(toDocument) }));

  app.get('/jobs/:id', { schema: getJobSchema }, async ({ params }) => toDocument(jobs.get(params.id)));

  app.get('/jobs/:id/refused', { schema: refusedFilesSchema }, async ({ params, query }) => ({
    refused: await jobs.refused(params.id, query),
  }));

  for (const action of ['pause', 'resume', 'cancel'] as const)
    app.post(`/jobs/:id/${action}`, { config: writes, schema: changeJobSchema(action) }, async ({ params }) =>
      toDocument(await jobs[action](params.id)),
    );
};

/** A job with its rate, and while it runs the time that is left. */
export function toDocument(job: Job): Static<typeof JobDocument> {
  const { started_at, ended_at, counts, state } = job;
  const done = counts.stored + counts.refused;
  if (started_at === undefined || done === 0) return job;
  const seconds = (Date.parse(ended_at ?? new Date().toISOString()) - Date.parse(started_at)) / 1000;
  const rate = done / Math.max(seconds, 0.001);
  const left = (counts.found - counts.unchanged - counts.updated - counts.moved - done) / rate;
  return {
    ...job,
    files_per_second: Math.round(rate * 10) / 10,
    ...(state === 'running' ? { seconds_left: Math.max(0, Math.ceil(left)) } : {}),
  };
}
