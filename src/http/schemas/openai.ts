import { Type } from 'typebox';
import { ModelName } from '../model-selection.js';
import { MAX_OPENAI_INPUTS, MAX_PARTS } from '../request-limits.js';
import { Limits, RoleName, Text } from './common.js';
import { RED_SQUARE } from './examples.js';
import { mediaUrl } from './input.js';

/** The shapes of OpenAI's embeddings interface, with the multimodal content parts that other servers take. */

const closed = { additionalProperties: false };
const url = (what: string) => Type.Union([mediaUrl(what), Type.Object({ url: mediaUrl(what) })]);

const ContentPart = Type.Union(
  [
    Type.Object({ type: Type.Literal('text'), text: Text }, closed),
    Type.Object({ type: Type.Literal('image_url'), image_url: url('A picture') }, closed),
    Type.Object({ type: Type.Literal('video_url'), video_url: url('A clip') }, closed),
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
        description: 'Instead of "input": all that is said in the messages, as one vector.',
      }),
    ),
    model: Type.Optional(ModelName),
    encoding_format: Type.Enum(['float', 'base64'], { default: 'float' }),
    dimensions: Type.Optional(
      Type.Integer({ minimum: 1, description: 'A shorter vector, of a length that /v1/models lists.' }),
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
          Type.Boolean({ description: 'There, and true, where text was cut at the limit of the model.' }),
        ),
        embedding: Type.Union([
          Type.Array(Type.Number()),
          Type.String({ description: 'float32, least byte first, in base64.' }),
        ]),
      }),
    ),
    model: Type.String(),
    usage: Type.Object({ prompt_tokens: Type.Integer(), total_tokens: Type.Integer() }),
  },
  { title: 'EmbeddingsReply', description: 'A vector for each input, in their order.' },
);

export const ModelCard = Type.Object(
  {
    id: Type.String(),
    object: Type.Literal('model'),
    created: Type.Integer({ description: 'Not known: 0.' }),
    owned_by: Type.String(),
    revision: Type.String(),
    licence: Type.String(),
    description: Type.String(),
    modalities: Type.Array(Type.String()),
    temporal: Type.Boolean({
      description: 'Whether the model tells the order of the frames of a clip; otherwise a clip is their average.',
    }),
    dimensions: Type.Array(Type.Integer(), { description: 'Lengths of vector, the full one first.' }),
    limits: Limits,
  },
  { title: 'Model', description: 'A model and the limits of this service.' },
);
export const ModelList = Type.Object(
  { object: Type.Literal('list'), data: Type.Array(ModelCard) },
  { title: 'ModelList', description: 'The models served; the first answers those who name none.' },
);
export const ModelPath = Type.Object({ id: ModelName });
