import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { FastifyRequest } from 'fastify';
import { type Static, Type } from 'typebox';
import { Problem } from '../src/errors.js';
import { acceptRawBodies, bringsFiles, embedOptions, receiveFile } from './receive.js';
import { hitToJson, MetadataObject, ModalityName, ScoredItem, Text, TopK } from './schemas.js';
import { toUnitVector } from './vector.js';

const Options = {
  top_k: TopK,
  modal_type: Type.Optional(ModalityName),
  filter: Type.Optional(MetadataObject),
};
const RetrieveOptions = Type.Object(Options, { additionalProperties: false });
const RetrieveBody = Type.Object(
  { text: Type.Optional(Text), embedding: Type.Optional(Type.Array(Type.Number())), ...Options },
  { additionalProperties: false },
);
const Results = Type.Object({ results: Type.Array(ScoredItem) });

interface Query extends Static<typeof RetrieveOptions> {
  vector: Float32Array;
  modality: 'text' | 'image' | 'video';
}

export const retrieveRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { embedder, model, store } = app.service;
  acceptRawBodies(app);

  app.post(
    '/retrieve',
    {
      config: { encodes: true },
      schema: { body: { content: { 'application/json': { schema: RetrieveBody } } }, response: { 200: Results } },
    },
    async (request) => {
      const { vector, modality, top_k: k, modal_type, filter } = await readQuery(request);
      const start = performance.now();
      const hits = await store.search(vector, {
        k,
        ...(modal_type === undefined ? {} : { modality: modal_type }),
        ...(filter === undefined ? {} : { filter }),
      });
      request.record('search', modality, (performance.now() - start) / 1000);
      return { results: hits.map(hitToJson) };
    },
  );

  /** What to look for: a file, a ready vector, or text. */
  async function readQuery(request: FastifyRequest): Promise<Query> {
    if (bringsFiles(request)) {
      const { upload, fields } = await receiveFile(request, RetrieveOptions);
      const { vector, modality } = await embedder.embedMedia(upload, embedOptions(request));
      return { vector, modality, ...fields };
    }
    // The body was checked against RetrieveBody by its route; it is absent when none was sent.
    const { text, embedding, ...options } = (request.body ?? {}) as Static<typeof RetrieveBody>;
    if ((text === undefined) === (embedding === undefined)) {
      throw new Problem('invalid_request', 'Send one of "text", "embedding", or a file to look for.', { in: 'body' });
    }
    if (embedding !== undefined) {
      return { vector: toUnitVector(embedding, model.manifest.dim), modality: 'text', ...options };
    }
    const { vector, modality } = await embedder.embedText(text as string, embedOptions(request));
    return { vector, modality, ...options };
  }
};
