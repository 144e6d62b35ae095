import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { FastifyRequest } from 'fastify';
import { type Static, Type } from 'typebox';
import { MAX_PARTS } from '../src/limits.js';
import { openTerms, type Term } from '../src/search/terms.js';
import { INPUT } from './input.js';
import { acceptRawBodies, bringsFiles, embedOptions, jsonBody, receiveInput } from './receive.js';
import { foundToJson, Id, Included, MetadataObject, ModalityName, Numbers, ScoredItem, TopK } from './schemas.js';

const OPTIONS = {
  top_k: TopK,
  offset: Type.Integer({
    minimum: 0,
    maximum: 999,
    default: 0,
    description: 'Results to pass over: with top_k, a page. Together they may reach 1000.',
  }),
  min_score: Type.Optional(Type.Number({ minimum: -1, maximum: 1, description: 'Least score of a result.' })),
  modal_type: Type.Optional(ModalityName),
  filter: Type.Optional(MetadataObject),
  include: Included,
};
const TERM = {
  ...INPUT,
  embedding: Type.Optional(Numbers),
  id: Type.Optional(Id),
};
const WeightedTerm = Type.Object(
  {
    ...TERM,
    weight: Type.Number({ minimum: -100, maximum: 100, default: 1, description: 'Negative: less like this.' }),
  },
  { additionalProperties: false, title: 'WeightedTerm' },
);
const RetrieveFields = Type.Object(OPTIONS, { additionalProperties: false });
const RetrieveBody = Type.Object(
  {
    ...TERM,
    mix: Type.Optional(
      Type.Array(WeightedTerm, {
        minItems: 1,
        maxItems: MAX_PARTS,
        description: 'Several things to look near, by weight: the sum of their vectors, on the unit sphere again.',
      }),
    ),
    ...OPTIONS,
  },
  { additionalProperties: false },
);
const Results = Type.Object({ results: Type.Array(ScoredItem) });

export const retrieveRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { inputs, model, searcher } = app.service;
  acceptRawBodies(app);

  app.post(
    '/retrieve',
    {
      config: { encodes: true },
      schema: { body: { content: { 'application/json': { schema: RetrieveBody } } }, response: { 200: Results } },
    },
    async (request) => {
      const { terms, ...wanted } = await readQuery(request);
      const search = {
        terms,
        count: wanted.top_k,
        offset: wanted.offset,
        minScore: wanted.min_score,
        modality: wanted.modal_type,
        filter: wanted.filter,
        withVectors: wanted.include.includes('embedding'),
      };
      const found = await searcher.search(search, embedOptions(request));
      return { results: found.map((item) => foundToJson(item, wanted.include)) };
    },
  );

  /** What to look for: files and texts in their order, or what JSON says. */
  async function readQuery(request: FastifyRequest): Promise<{ terms: Term[] } & Static<typeof RetrieveFields>> {
    if (bringsFiles(request)) {
      const { parts, fields } = await receiveInput(request, RetrieveFields);
      return { terms: [{ parts, weight: 1 }], ...fields };
    }
    const body = jsonBody<typeof RetrieveBody>(request);
    const terms = await openTerms(body, { inputs, dim: model.manifest.dim, signal: request.clientSignal });
    return { ...body, terms };
  }
};
