import { randomUUID } from 'node:crypto';
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { FastifyRequest } from 'fastify';
import { type Static, Type } from 'typebox';
import { Problem } from '../src/errors.js';
import type { Item } from '../src/index/store.js';
import { acceptRawBodies, bringsFiles, embedOptions, receiveFile } from './receive.js';
import { Id, itemToJson, MetadataObject, ModalityName, StoredItem, Text, vectorToJson } from './schemas.js';
import { toUnitVector } from './vector.js';

const Labels = { id: Type.Optional(Id), metadata: Type.Optional(MetadataObject) };
/** What may stand beside a file. */
const FileFields = Type.Object(Labels, { additionalProperties: false });
/** Text to embed, or a vector that is ready (made with this very model, say). */
const ItemBody = Type.Object(
  {
    text: Type.Optional(Text),
    embedding: Type.Optional(Type.Array(Type.Number())),
    modal_type: Type.Optional(ModalityName),
    ...Labels,
  },
  { additionalProperties: false },
);
const ItemPath = Type.Object({ id: Id });
const ItemQuery = Type.Object({ include: Type.Optional(Type.Literal('embedding')) }, { additionalProperties: false });
const ListQuery = Type.Object(
  {
    limit: Type.Integer({ minimum: 1, maximum: 1000, default: 100 }),
    cursor: Type.Optional(Type.String({ maxLength: 2048 })),
    modal_type: Type.Optional(ModalityName),
  },
  { additionalProperties: false },
);
const ItemPage = Type.Object({ items: Type.Array(StoredItem), next_cursor: Type.Optional(Type.String()) });

type Embedded = Pick<Item, 'vector' | 'modality' | 'metadata'> & { id: string | undefined };

export const itemRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { embedder, model, store } = app.service;
  acceptRawBodies(app);

  app.post(
    '/items',
    {
      config: { encodes: true },
      schema: { body: { content: { 'application/json': { schema: ItemBody } } }, response: { 201: StoredItem } },
    },
    async (request, reply) => {
      const { id = randomUUID(), ...rest } = bringsFiles(request) ? await fromFile(request) : await fromJson(request);
      const item: Item = { id, ...rest };
      const start = performance.now();
      await store.upsert([item]);
      request.record('store', item.modality, (performance.now() - start) / 1000);
      return reply
        .code(201)
        .header('location', `/items/${encodeURIComponent(id)}`)
        .send(itemToJson(item));
    },
  );

  app.get('/items', { schema: { querystring: ListQuery, response: { 200: ItemPage } } }, async (request) => {
    const { limit, cursor, modal_type } = request.query;
    const page = await store.list({
      limit,
      ...(cursor === undefined ? {} : { cursor }),
      ...(modal_type === undefined ? {} : { modality: modal_type }),
    });
    const next = page.nextCursor === undefined ? {} : { next_cursor: page.nextCursor };
    return { items: page.items.map(itemToJson), ...next };
  });

  app.get(
    '/items/:id',
    { schema: { params: ItemPath, querystring: ItemQuery, response: { 200: StoredItem } } },
    async (request) => {
      const item = await store.get(request.params.id);
      if (item === undefined) throw noItem(request.params.id);
      const extra = request.query.include === 'embedding' ? { embedding: vectorToJson(item.vector) } : {};
      return { ...itemToJson(item), ...extra };
    },
  );

  app.delete('/items/:id', { schema: { params: ItemPath } }, async (request, reply) => {
    if ((await store.delete([request.params.id])) === 0) throw noItem(request.params.id);
    return reply.code(204).send();
  });

  /** A file's name is kept with it, so that a search says what it found. */
  async function fromFile(request: FastifyRequest): Promise<Embedded> {
    const { upload, filename, fields } = await receiveFile(request, FileFields);
    const { id, metadata } = fields;
    const { vector, modality } = await embedder.embedMedia(upload, embedOptions(request));
    return { id, vector, modality, metadata: { ...(filename === undefined ? {} : { filename }), ...metadata } };
  }

  async function fromJson(request: FastifyRequest): Promise<Embedded> {
    // The body was checked against ItemBody by its route; it is absent when none was sent.
    const { id, text, embedding, modal_type, metadata } = (request.body ?? {}) as Static<typeof ItemBody>;
    if ((text === undefined) === (embedding === undefined)) {
      throw new Problem('invalid_request', 'Send one of "text", "embedding", or a file to store.', { in: 'body' });
    }
    if (embedding !== undefined) {
      const vector = toUnitVector(embedding, model.manifest.dim);
      return { id, vector, modality: modal_type ?? 'text', metadata: metadata ?? {} };
    }
    const { vector, modality } = await embedder.embedText(text as string, embedOptions(request));
    return { id, vector, modality, metadata: { text, ...metadata } };
  }
};

const noItem = (id: string) => new Problem('not_found', `There is no item "${id}".`, { id });
