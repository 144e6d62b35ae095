import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { FastifyRequest } from 'fastify';
import { type Static, Type } from 'typebox';
import { acceptRawBodies, bringsFiles } from '../src/http/body/multipart.js';
import { embedOptions, jsonBody, openOptions, receiveInput } from '../src/http/body/read-input.js';
import { answerWith, chosenModel, isModelNamed, MODEL, ModelQuery, rolloutKey } from '../src/http/model-selection.js';
import { whenSent } from '../src/http/plugins/request-context.js';
import { MAX_PARTS } from '../src/http/request-limits.js';
import { inputContent, jsonContent } from '../src/http/schemas/body-content.js';
import {
  Filter,
  foundToJson,
  Id,
  Included,
  ModalityName,
  Numbers,
  ScoredItem,
  TopK,
} from '../src/http/schemas/common.js';
import { RED_SQUARE } from '../src/http/schemas/examples.js';
import { INPUT } from '../src/http/schemas/input.js';
import { openTerms, type Term } from '../src/search/query-terms.js';
import type { ServedModel } from '../src/serving/served-model.js';

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
  filter: Type.Optional(Filter),
  include: Included,
  ...MODEL,
};
const TERM = {
  ...INPUT,
  embedding: Type.Optional(Numbers),
  id: Type.Optional(Id),
};
export const WeightedTerm = Type.Object(
  {
    ...TERM,
    weight: Type.Number({ minimum: -100, maximum: 100, default: 1, description: 'Negative: less like this.' }),
  },
  { additionalProperties: false, title: 'WeightedTerm' },
);
const RetrieveFields = Type.Object(OPTIONS, { additionalProperties: false });
export const RetrieveBody = Type.Object(
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
  { additionalProperties: false, title: 'Query' },
);
export const Results = Type.Object({ results: Type.Array(ScoredItem) }, { title: 'Hits', description: 'Best first.' });

type RetrieveQuery = Omit<Static<typeof RetrieveFields>, 'model'> & {
  terms: Term[];
  /** The model that the request names. */
  named: ServedModel | undefined;
};

const DESCRIPTION = `Say one thing to look near: text, image, video, several parts, a ready embedding, the id of a stored item ("more
like this", without itself), or a mix of them with weights.`;
const EXAMPLES = [
  { text: 'a red car', top_k: 3 },
  { image: RED_SQUARE, modal_type: 'image', min_score: 0.2 },
  { mix: [{ image: RED_SQUARE }, { text: 'at night' }, { text: 'a car', weight: -0.5 }] },
  { text: 'a car', filter: { colour: { $in: ['red', 'blue'] } }, offset: 10, include: ['metadata', 'embedding'] },
];

export const retrieveRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { inputs, searches } = app.service;
  acceptRawBodies(app);

  app.post(
    '/retrieve',
    {
      config: { encodes: true },
      schema: {
        operationId: 'retrieve',
        tags: ['search'],
        summary: 'The nearest neighbours of anything',
        description: DESCRIPTION,
        querystring: ModelQuery,
        body: { content: { ...jsonContent(RetrieveBody, EXAMPLES), ...inputContent(RetrieveFields) } },
        response: { 200: Results },
      },
    },
    async (request, reply) => {
      const { terms, named, ...wanted } = await readQuery(request);
      const search = {
        terms,
        count: wanted.top_k,
        offset: wanted.offset,
        minScore: wanted.min_score,
        modality: wanted.modal_type,
        filter: wanted.filter,
        withVectors: wanted.include.includes('embedding'),
      };
      const { found, model, afterwards } = await searches.search(search, {
        named,
        key: rolloutKey(request),
        optionsFor: (one) => embedOptions(request, one),
      });
      answerWith(model, request, reply);
      if (afterwards !== undefined) whenSent(reply, afterwards);
      return { results: found.map((item) => foundToJson(item, wanted.include)) };
    },
  );

  /** What to look for: files and texts in their order, or what JSON says. */
  async function readQuery(request: FastifyRequest): Promise<RetrieveQuery> {
    if (bringsFiles(request)) {
      const { parts, fields, model } = await receiveInput(request, RetrieveFields);
      return { ...fields, terms: [{ parts, weight: 1 }], named: fields.model === undefined ? undefined : model };
    }
    const body = jsonBody<typeof RetrieveBody>(request);
    const model = chosenModel(request, body.model);
    const named = isModelNamed(request, body.model) ? model : undefined;
    const terms = await openTerms(body, { inputs, dim: model.manifest.dim, ...openOptions(request) });
    return { ...body, terms, named };
  }
};
