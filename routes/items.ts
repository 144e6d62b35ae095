import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Type } from 'typebox';
import { Problem } from '../src/common/errors.js';
import { jsonBody } from '../src/http/body/read-input.js';
import { answerWith, chosenModel, MODEL } from '../src/http/model-selection.js';
import { MAX_DELETED_IDS } from '../src/http/request-limits.js';
import { jsonContent } from '../src/http/schemas/body-content.js';
import { Filter, Id, itemToJson, ModalityName, StoredItem, vectorToJson } from '../src/http/schemas/common.js';

const ItemPath = Type.Object({ id: Id });
const ItemQuery = Type.Object(
  { include: Type.Optional(Type.Literal('embedding')), ...MODEL },
  { additionalProperties: false },
);
const DeleteQuery = Type.Object(MODEL, { additionalProperties: false });
export const ListQuery = Type.Object(
  {
    limit: Type.Integer({ minimum: 1, maximum: 1000, default: 100 }),
    cursor: Type.Optional(Type.String({ maxLength: 2048 })),
    modal_type: Type.Optional(ModalityName),
    ...MODEL,
  },
  { additionalProperties: false },
);
export const ItemPage = Type.Object(
  {
    items: Type.Array(StoredItem),
    next_cursor: Type.Optional(Type.String({ description: 'Absent on the last page.' })),
  },
  { title: 'ItemPage', description: 'Ordered by id.' },
);
const Deleted = Type.Null({ description: 'It is gone.' });
/** Which items to delete: by what their metadata say, or by id. */
export const DeleteBody = Type.Union(
  [
    Type.Object({ filter: Type.With(Filter, { minProperties: 1 }) }, { additionalProperties: false }),
    Type.Object({ ids: Type.Array(Id, { minItems: 1, maxItems: MAX_DELETED_IDS }) }, { additionalProperties: false }),
  ],
  { title: 'Deletion' },
);
export const DeletedCount = Type.Object(
  { deleted: Type.Integer({ description: 'How many items there were.' }) },
  { title: 'Deleted' },
);

export const itemRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { writes } = app.service;

  app.get(
    '/items',
    {
      schema: {
        operationId: 'listItems',
        tags: ['items'],
        summary: 'What is stored, page by page',
        querystring: ListQuery,
        response: { 200: ItemPage },
      },
    },
    async (request, reply) => {
      const { limit, cursor, modal_type } = request.query;
      const { store } = answerWith(chosenModel(request), request, reply);
      const page = await store.list({
        limit,
        ...(cursor === undefined ? {} : { cursor }),
        ...(modal_type === undefined ? {} : { modality: modal_type }),
      });
      const next = page.nextCursor === undefined ? {} : { next_cursor: page.nextCursor };
      return { items: page.items.map(itemToJson), ...next };
    },
  );

  app.get(
    '/items/:id',
    {
      schema: {
        operationId: 'getItem',
        tags: ['items'],
        summary: 'One item',
        params: ItemPath,
        querystring: ItemQuery,
        response: { 200: StoredItem },
      },
    },
    async (request, reply) => {
      const { store } = answerWith(chosenModel(request), request, reply);
      const item = await store.get(request.params.id);
      if (item === undefined) throw noItem(request.params.id);
      const extra = request.query.include === 'embedding' ? { embedding: vectorToJson(item.vector) } : {};
      return { ...itemToJson(item), ...extra };
    },
  );

  app.delete(
    '/items',
    {
      config: { writes: true },
      schema: {
        operationId: 'deleteItems',
        tags: ['items'],
        summary: 'Delete the items that a filter selects, or those of some ids',
        querystring: DeleteQuery,
        body: {
          content: jsonContent(DeleteBody, [{ filter: { colour: 'red', year: { $lt: 2000 } } }, { ids: ['a', 'b'] }]),
        },
        response: { 200: DeletedCount },
      },
    },
    async (request, reply) => {
      const wanted = jsonBody<typeof DeleteBody>(request);
      const model = answerWith(chosenModel(request), request, reply);
      const deleted = 'filter' in wanted ? writes.deleteWhere(model, wanted.filter) : writes.delete(model, wanted.ids);
      return { deleted: await deleted };
    },
  );

  app.delete(
    '/items/:id',
    {
      config: { writes: true },
      schema: {
        operationId: 'deleteItem',
        tags: ['items'],
        summary: 'Delete one item',
        params: ItemPath,
        querystring: DeleteQuery,
        response: { 204: Deleted },
      },
    },
    async (request, reply) => {
      const model = answerWith(chosenModel(request), request, reply);
      if ((await writes.delete(model, [request.params.id])) === 0) throw noItem(request.params.id);
      return reply.code(204).send(null);
    },
  );
};

const noItem = (id: string) => new Problem('not_found', `There is no item "${id}".`, { id });
