import { Type } from 'typebox';
import { MAX_OPENAI_INPUTS, MAX_PARTS } from '../request-limits.js';
import { jsonContent } from './body-content.js';
import { Limits, ModelName, RoleName, Text } from './common.js';
import { RED_SQUARE } from './examples.js';
import { mediaUrl } from './input.js';

/** Schemas of OpenAI's embeddings API, with the multimodal content parts that other servers accept. */

const closed = { additionalProperties: false };
const url = (what: string) => Type.Union([mediaUrl(what), Type.Object({ url: mediaUrl(what) })]);

const ContentPart = Type.Union(
  [
    Type.Object({ type: Type.Literal('text'), text: Text }, closed),
    Type.Object({ type: Type.Literal('image_url'), image_url: url('An image') }, closed),
    Type.Object({ type: Type.Literal('video_url'), video_url: url('A video') }, closed),
  ],
  { title: 'ContentPart' },
);
const Parts = Type.Array(ContentPart, {
  minItems: 1,
  maxItems: MAX_PARTS,
  description: 'Several parts, in order: one vector.',
});
const Inputs = Type.Array(Type.Union([Text, Parts]), {
  minItems: 1,
  maxItems: MAX_OPENAI_INPUTS,
  description: 'Several inputs: a vector each.',
});
const Message = Type.Object({ role: Type.Optional(Type.String()), content: Type.Union([Text, Parts]) }, closed);

export const EmbeddingsBody = Type.Object(
  {
    input: Type.Optional(Type.Union([Text, Parts, Inputs])),
    messages: Type.Optional(
      Type.Array(Message, {
        minItems: 1,
        maxItems: MAX_PARTS,
        description: 'Instead of "input": the content of all messages, as one vector.',
      }),
    ),
    model: Type.Optional(ModelName),
    encoding_format: Type.Enum(['float', 'base64'], { default: 'float' }),
    dimensions: Type.Optional(
      Type.Integer({ minimum: 1, description: 'Length of the vector: one that /v1/models lists.' }),
    ),
    input_type: Type.Optional(RoleName),
    user: Type.Optional(Type.String({ description: 'Not used.' })),
  },
  { ...closed, title: 'EmbeddingsRequest' },
);

export const EXAMPLES = [
  { model: 'onespace-mini', input: ['a red car', 'un chat'], dimensions: 64 },
  {
    input: [
      { type: 'text', text: 'at night' },
      { type: 'image_url', image_url: { url: RED_SQUARE } },
    ],
    encoding_format: 'base64',
  },
];

export const EmbeddingsReply = Type.Object(
  {
    object: Type.Literal('list'),
    data: Type.Array(
      Type.Object({
        object: Type.Literal('embedding'),
        index: Type.Integer(),
        truncated: Type.Optional(
          Type.Boolean({ description: 'Present, and true, when text was cut at the limit of the model.' }),
        ),
        embedding: Type.Union([
          Type.Array(Type.Number()),
          Type.String({ description: 'float32, little-endian, in base64.' }),
        ]),
      }),
    ),
    model: Type.String(),
    usage: Type.Object({ prompt_tokens: Type.Integer(), total_tokens: Type.Integer() }),
  },
  { title: 'EmbeddingsReply', description: 'A vector for each input, in order.' },
);

export const ModelCard = Type.Object(
  {
    id: Type.String(),
    object: Type.Literal('model'),
    created: Type.Integer({ description: 'Unknown: 0.' }),
    owned_by: Type.String(),
    revision: Type.String(),
    licence: Type.String(),
    description: Type.String(),
    modalities: Type.Array(Type.String()),
    temporal: Type.Boolean({
      description:
        'Whether the model distinguishes the order of the frames of a video; otherwise a video is their average.',
    }),
    dimensions: Type.Array(Type.Integer(), { description: 'Lengths that a vector may have, the full one first.' }),
    limits: Limits,
  },
  { title: 'Model', description: 'A model and the limits of this service.' },
);
export const ModelList = Type.Object(
  { object: Type.Literal('list'), data: Type.Array(ModelCard) },
  { title: 'ModelList', description: 'The served models; the first answers requests that name none.' },
);
export const ModelPath = Type.Object({ id: ModelName });

const tags = ['openai'];

export const createEmbeddingsSchema = {
  operationId: 'createEmbeddings',
  tags,
  summary: "Embeddings, in the form of OpenAI's API",
  body: { content: jsonContent(EmbeddingsBody, EXAMPLES) },
  response: { 200: EmbeddingsReply },
};
export const listModelsSchema = {
  operationId: 'listModels',
  tags,
  summary: 'The served models, each with its limits',
  response: { 200: ModelList },
};
export const getModelSchema = {
  operationId: 'getModel',
  tags,
  summary: 'One model',
  params: ModelPath,
  response: { 200: ModelCard },
};
