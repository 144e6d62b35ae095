import { Type } from 'typebox';
import { MAX_PARTS, MAX_RESULTS } from '../request-limits.js';
import { inputContent, jsonContent } from './body-content.js';
import { Filter, Id, MetadataObject, MODEL, ModalityName, ModelQuery, Numbers, Vector } from './common.js';
import { RED_SQUARE } from './examples.js';
import { INPUT } from './input.js';

const INCLUDED = ['metadata', 'embedding'] as const;

const OPTIONS = {
  top_k: Type.Integer({ minimum: 1, maximum: MAX_RESULTS, default: 5, description: 'Results to return.' }),
  offset: Type.Integer({
    minimum: 0,
    maximum: 999,
    default: 0,
    description: 'Results to skip: with top_k, a page. Together at most 1000.',
  }),
  min_score: Type.Optional(Type.Number({ minimum: -1, maximum: 1, description: 'Lowest score of a result.' })),
  modal_type: Type.Optional(ModalityName),
  filter: Type.Optional(Filter),
  include: Type.Array(Type.Enum([...INCLUDED]), {
    uniqueItems: true,
    maxItems: INCLUDED.length,
    default: ['metadata'],
    description: 'Fields of each result besides its id, modality and score.',
  }),
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
/** Fields beside the files of a query. */
export const RetrieveFields = Type.Object(OPTIONS, { additionalProperties: false });
export const RetrieveBody = Type.Object(
  {
    ...TERM,
    mix: Type.Optional(
      Type.Array(WeightedTerm, {
        minItems: 1,
        maxItems: MAX_PARTS,
        description: 'Several things to search near, by weight: the sum of their vectors, scaled to norm 1.',
      }),
    ),
    ...OPTIONS,
  },
  { additionalProperties: false, title: 'Query' },
);

export const ScoredItem = Type.Object(
  {
    id: Id,
    score: Type.Number({ description: 'Inner product in [-1, 1]; higher is closer.' }),
    modal_type: ModalityName,
    metadata: Type.Optional(MetadataObject),
    embedding: Type.Optional(Vector),
  },
  { title: 'Hit' },
);
export const Results = Type.Object({ results: Type.Array(ScoredItem) }, { title: 'Hits', description: 'Best first.' });

export const retrieveSchema = {
  operationId: 'retrieve',
  tags: ['search'],
  summary: 'The items nearest to anything',
  description: `A query has exactly one thing to search near: text, image, video, several parts, a ready embedding, the id of
a stored item ("more like this", without the item itself), or a mix of them with weights.`,
  querystring: ModelQuery,
  body: {
    content: {
      ...jsonContent(RetrieveBody, [
        { text: 'a red car', top_k: 3 },
        { image: RED_SQUARE, modal_type: 'image', min_score: 0.2 },
        { mix: [{ image: RED_SQUARE }, { text: 'at night' }, { text: 'a car', weight: -0.5 }] },
        {
          text: 'a car',
          filter: { colour: { $in: ['red', 'blue'] } },
          offset: 10,
          include: ['metadata', 'embedding'],
        },
      ]),
      ...inputContent(RetrieveFields),
    },
  },
  response: { 200: Results },
};
