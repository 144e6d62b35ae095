import { Type } from 'typebox';
import { JOB_STATES } from '../../jobs/job.js';
import { jsonContent } from './body-content.js';
import { MODEL } from './common.js';

const count = (description: string) => Type.Integer({ description });

export const JobDocument = Type.Object(
  {
    id: Type.String(),
    folder: Type.Optional(Type.String()),
    items: Type.Optional(count('Items that were sent, where the job is not for a folder.')),
    model: Type.Optional(Type.String()),
    prune: Type.Boolean(),
    all: Type.Boolean(),
    dry_run: Type.Boolean(),
    state: Type.Enum([...JOB_STATES]),
    created_at: Type.String({ format: 'date-time' }),
    started_at: Type.Optional(Type.String({ format: 'date-time' })),
    ended_at: Type.Optional(Type.String({ format: 'date-time' })),
    counts: Type.Object({
      found: count('Files that are there, or items that were sent.'),
      unchanged: count('Files that are as they were when they were stored; they are not read.'),
      stored: count('Files that were stored.'),
      updated: count(
        'Files whose metadata alone were brought up to date: the file or one beside it has another time, its content has not changed.',
      ),
      moved: count('Files that were renamed: their items have a new id, and keep their vectors.'),
      refused: count('Files that could not be stored; GET /jobs/{id}/refused lists them.'),
      removed: count('Items that were removed because their file is gone.'),
    }),
    files_per_second: Type.Optional(Type.Number({ description: 'Files stored or refused, on average.' })),
    seconds_left: Type.Optional(Type.Integer({ description: 'Estimate, while it runs.' })),
    problem: Type.Optional(Type.String({ description: 'Why it failed, or what it waits for.' })),
  },
  { title: 'Job', description: 'Work that no connection waits for.' },
);

export const JobBody = Type.Object(
  {
    folder: Type.String({
      minLength: 1,
      maxLength: 4096,
      description:
        'A media root, or a folder below one: "photos/2019"; or its place on the machine of the service: "/mnt/photos/2019".',
    }),
    prune: Type.Boolean({ default: false, description: 'Remove items whose file is gone.' }),
    all: Type.Boolean({
      default: false,
      description: 'Store files again that have not changed: the candidate of a rollout may not have them.',
    }),
    dry_run: Type.Boolean({ default: false, description: 'Count what would be done, and do nothing.' }),
    ...MODEL,
  },
  { additionalProperties: false, title: 'NewJob' },
);

const JobPath = Type.Object({ id: Type.String({ maxLength: 64 }) });
const tags = ['jobs'];

export const createJobSchema = {
  operationId: 'createJob',
  tags,
  summary: 'Index a folder of a media root; what is stored and unchanged is not read again',
  body: { content: jsonContent(JobBody, [{ folder: 'photos' }, { folder: 'photos', prune: true, dry_run: true }]) },
  response: { 202: JobDocument },
};

export const listJobsSchema = {
  operationId: 'listJobs',
  tags,
  summary: 'Every job, the newest first',
  response: { 200: Type.Object({ jobs: Type.Array(JobDocument) }, { title: 'Jobs' }) },
};

export const getJobSchema = {
  operationId: 'getJob',
  tags,
  summary: 'One job, with its progress',
  params: JobPath,
  response: { 200: JobDocument },
};

export const refusedFilesSchema = {
  operationId: 'listRefusedFiles',
  tags,
  summary: 'The files or items that a job could not store, each with its reason',
  params: JobPath,
  querystring: Type.Object(
    {
      limit: Type.Integer({ minimum: 1, maximum: 1000, default: 100 }),
      skip: Type.Integer({ minimum: 0, maximum: 10_000_000, default: 0 }),
    },
    { additionalProperties: false },
  ),
  response: {
    200: Type.Object(
      { refused: Type.Array(Type.Object({ file: Type.String(), reason: Type.String() })) },
      { title: 'RefusedFiles' },
    ),
  },
};

export const changeJobSchema = (action: 'pause' | 'resume' | 'cancel') => ({
  operationId: `${action}Job`,
  tags,
  summary: {
    pause: 'Pause a job',
    resume: 'Go on with a job that was paused',
    cancel: 'End a job; what it has stored stays',
  }[action],
  params: JobPath,
  response: { 200: JobDocument },
});
