import { Type } from 'typebox';
import { MAX_INPUTS } from '../request-limits.js';
import { filesContent, inputContent, jsonContent } from './body-content.js';
import { ErrorEntry, eachOf, MODEL, ModalityName, ModelQuery, RoleName, Text, Vector } from './common.js';
import { RED_SQUARE, RED_TO_BLUE } from './examples.js';
import { Input } from './input.js';

export const Embedded = Type.Object(
  {
    embedding: Vector,
    dim: Type.Integer(),
    modal_type: ModalityName,
    filename: Type.Optional(Type.String()),
    tokens: Type.Integer({ description: 'Length of the sequence that the model read: text tokens and patches.' }),
    truncated: Type.Boolean({ description: 'Whether text was cut at the limit of the model.' }),
  },
  { title: 'Embedding', description: 'A unit vector and what it was made from.' },
);

export const EmbeddedMany = Type.Object(
  { results: Type.Array(Type.Union([Embedded, ErrorEntry])) },
  {
    title: 'Embeddings',
    description: 'A reply to several inputs: for each, in order, its embedding or its own error.',
  },
);

export const TextBody = Type.Object(
  {
    text: Type.Union([Text, eachOf(Text, { maxItems: MAX_INPUTS })]),
    role: Type.Optional(RoleName),
    ...MODEL,
  },
  { additionalProperties: false },
);
export const TextQuery = Type.Object(
  { text: Type.Optional(Text), role: Type.Optional(RoleName), ...MODEL },
  { additionalProperties: false },
);
/** Fields beside the files of one input. */
export const InputFields = Type.Object({ role: Type.Optional(RoleName), ...MODEL }, { additionalProperties: false });
/** Fields beside files that are an input each; other fields are ignored. */
export const EachFields = Type.Object({ role: Type.Optional(RoleName), ...MODEL });

const oneOrMany = { 200: Type.Union([Embedded, EmbeddedMany]) };

export const embedSchema = {
  operationId: 'embed',
  tags: ['embed'],
  summary: 'Text, an image, a video, or several of them that belong together, to one vector',
  description: `The parts make one sequence, in their order. Its modal_type is the richest modality among them: text with an
image is an image, with a video a video.`,
  querystring: ModelQuery,
  body: {
    content: {
      ...jsonContent(Input, [
        { text: 'a red car' },
        { image: RED_SQUARE },
        { parts: [{ text: 'from red to blue' }, { video: RED_TO_BLUE }] },
      ]),
      ...inputContent(InputFields),
    },
  },
  response: { 200: Embedded },
};

export const embedTextSchema = {
  operationId: 'embedText',
  tags: ['embed'],
  summary: 'A text, or several, to a vector each',
  querystring: TextQuery,
  body: { content: jsonContent(TextBody, [{ text: 'a red car' }, { text: ['a red car', '红色汽车'] }]) },
  response: oneOrMany,
};

export const embedMediaSchema = (as: 'image' | 'video') => ({
  operationId: `embed${as === 'image' ? 'Image' : 'Video'}`,
  tags: ['embed'],
  summary: `${as === 'image' ? 'An image' : 'A video'}, or several, to a vector each`,
  querystring: EachFields,
  body: { content: filesContent(`${as}/*`, EachFields) },
  response: oneOrMany,
});
