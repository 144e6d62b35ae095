import { randomUUID } from 'node:crypto';
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { FastifyRequest } from 'fastify';
import type { Static } from 'typebox';
import { invalidField, Problem } from '../src/common/errors.js';
import { toDecimals } from '../src/common/vector.js';
import {
  acceptRawBodies,
  type FormEntry,
  filenameOf,
  hasFiles,
  modelOfQuery,
  oneInput,
  readForm,
  readJson,
} from '../src/http/body/read-body.js';
import {
  type DeleteBody,
  deleteItemSchema,
  deleteItemsSchema,
  FileFields,
  getItemSchema,
  type ItemBody,
  type ItemsBody,
  listItemsSchema,
  putItemsSchema,
  toStoredItem,
} from '../src/http/schemas/items.js';
import { entriesOf, Refused } from '../src/http/validation/refused.js';
import { describe, ItemResolver, type NewItem } from '../src/items/new-item.js';
import type { JobItem } from '../src/jobs/job.js';
import { Semaphore } from '../src/lib/async/semaphore.js';
import { existingItem, noItem } from '../src/store/existing-item.js';
import type { ItemInfo } from '../src/store/vector-store.js';
import { toDocument } from './jobs.js';

/** The items of a request. */
interface NewItems {
  items: NewItem[];
  /** Whether the request and its reply have one item, not a list. */
  isSingle: boolean;
  /** Name of the model. */
  model: string | undefined;
}

const writes = { writes: true };

export const itemRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { inputs, models, concurrency, facts, jobs, thumbnails } = app.service;
  // A page takes milliseconds of the index's thread: those who read many at once do not stand before a search.
  const pages = new Semaphore(1);
  acceptRawBodies(app);

  const stores = { encodes: true, stores: true, ...writes };
  app.post('/items', { config: stores, schema: putItemsSchema }, async (request, reply) => {
    const { items, isSingle, model: name } = hasFiles(request) ? await fromForm(request) : fromJson(request);
    const model = request.scope.use(models.get(name));
    if (prefersAsync(request) && !hasFiles(request)) {
      const job = await jobs.createForItems(items.map(toJobItem), name === undefined ? {} : { model: name });
      reply.header('location', `/jobs/${job.id}`).header('preference-applied', RESPOND_ASYNC);
      return reply.code(202).send(toDocument(job));
    }
    const resolver = new ItemResolver(request.scope, inputs, facts);
    const stored = await models.router.put(model, items, { resolver, concurrency, thumbnails }, request.scope);
    const [first] = stored;
    if (!isSingle || first === undefined) {
      const toEntry = (one: ItemInfo | Problem) =>
        one instanceof Problem ? { error: one.toDocument(request.id) } : toStoredItem(one);
      return { results: stored.map(toEntry) };
    }
    if (first instanceof Problem) throw first;
    return reply
      .code(201)
      .header('location', `/items/${encodeURIComponent(first.id)}`)
      .send(toStoredItem(first));
  });

  app.get('/items', { schema: listItemsSchema }, async (request) => {
    const { limit, cursor, modal_type, model } = request.query;
    const { store } = request.scope.use(models.get(model));
    const options = {
      limit,
      ...(cursor === undefined ? {} : { cursor }),
      ...(modal_type === undefined ? {} : { modality: modal_type }),
    };
    const { items, nextCursor } = await pages.use(() => store.list(options), { signal: request.scope.signal });
    return { items: items.map(toStoredItem), ...(nextCursor === undefined ? {} : { next_cursor: nextCursor }) };
  });

  app.get('/items/:id', { schema: getItemSchema }, async (request) => {
    const { include, model } = request.query;
    const { store } = request.scope.use(models.get(model));
    const item = await existingItem(store, request.params.id);
    return { ...toStoredItem(item), ...(include === 'embedding' ? { embedding: toDecimals(item.vector) } : {}) };
  });

  app.delete('/items', { config: writes, schema: deleteItemsSchema }, async (request) => {
    const which = readJson<typeof DeleteBody>(request);
    const model = request.scope.use(models.get(request.query.model));
    const { router } = models;
    const deleted = 'filter' in which ? router.deleteWhere(model, which.filter) : router.delete(model, which.ids);
    return { deleted: await deleted };
  });

  app.delete('/items/:id', { config: writes, schema: deleteItemSchema }, async (request, reply) => {
    const model = request.scope.use(models.get(request.query.model));
    if ((await models.router.delete(model, [request.params.id])) === 0) throw noItem(request.params.id);
    return reply.code(204).send(null);
  });
};

/** Files and texts that are one item, or an item each. */
async function fromForm(request: FastifyRequest): Promise<NewItems> {
  const { entries, fields } = await readForm(request, FileFields);
  const { items: labels, id, metadata, model } = fields;
  if (labels === undefined) {
    const { parts, filename } = oneInput(entries);
    const item = { id: id ?? randomUUID(), parts, metadata: describe(parts, metadata, filename) };
    return { items: [item], isSingle: true, model };
  }
  if (id !== undefined || metadata !== undefined)
    throw invalidField(
      'body.items',
      'A form with body.items may not have id and metadata beside it: put them into it.',
    );
  if (labels.length !== entries.length) {
    const detail = `body.items has ${labels.length} entries for ${entries.length} files and texts; send one for each.`;
    throw invalidField('body.items', detail);
  }
  const items = entries.map((entry, i) => fromEntry(entry, labels[i] ?? {}));
  return { items, isSingle: false, model };
}

function fromEntry(
  entry: FormEntry,
  { id = randomUUID(), metadata }: Pick<Static<typeof ItemBody>, 'id' | 'metadata'>,
) {
  if ('problem' in entry) return { id, problem: entry.problem };
  const { parts } = oneInput([entry]);
  return { id, parts, metadata: describe(parts, metadata, filenameOf(entry)) };
}

function fromJson(request: FastifyRequest): NewItems {
  const body = readJson<typeof ItemBody | typeof ItemsBody>(request) as
    | Static<typeof ItemBody>
    | Static<typeof ItemsBody>;
  const model = modelOfQuery(request);
  if (!Array.isArray(body)) return { items: [fromObject(body, 'body')], isSingle: true, model: body.model ?? model };
  const items = entriesOf(body).map((one, i) =>
    one instanceof Refused ? { id: randomUUID(), problem: one.problem } : fromObject(one, `body.${i}`),
  );
  return { items, isSingle: false, model };
}

function fromObject({ id = randomUUID(), metadata, ...json }: Static<typeof ItemBody>, path: string): NewItem {
  return { id, metadata, json, path };
}

/** What a client sends that does not wait for long work (RFC 7240). */
const RESPOND_ASYNC = 'respond-async';

const prefersAsync = ({ headers }: FastifyRequest): boolean =>
  String(headers.prefer ?? '')
    .split(',')
    .some((preference) => preference.trim().split(';')[0] === RESPOND_ASYNC);

function toJobItem(item: NewItem): JobItem {
  if ('problem' in item) return { id: item.id, problem: item.problem.detail };
  if (!('json' in item)) throw new Error('Only items in JSON can be stored later.');
  return { id: item.id, json: item.json, metadata: item.metadata };
}
