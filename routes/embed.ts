import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { FastifyRequest } from 'fastify';
import { type Static, Type } from 'typebox';
import { Problem } from '../src/common/errors.js';
import type { Embedding } from '../src/embedding/embedding.js';
import { acceptRawBodies, bringsFiles, type ReceivedFile } from '../src/http/body/multipart.js';
import { embedOptions, jsonBody, noFile, openOptions, receiveEach, receiveInput } from '../src/http/body/read-input.js';
import { answerWith, chosenModel, MODEL, ModelQuery } from '../src/http/model-selection.js';
import { MAX_INPUTS } from '../src/http/request-limits.js';
import { filesContent, inputContent, jsonContent } from '../src/http/schemas/body-content.js';
import { AnyObject, ModalityName, RoleName, Text, Vector, vectorToJson } from '../src/http/schemas/common.js';
import { RED_SQUARE, RED_TO_BLUE } from '../src/http/schemas/examples.js';
import { Input } from '../src/http/schemas/input.js';
import { mapConcurrent } from '../src/lib/map-concurrent.js';

export const Embedded = Type.Object(
  {
    embedding: Vector,
    dim: Type.Integer(),
    modal_type: ModalityName,
    filename: Type.Optional(Type.String()),
    tokens: Type.Integer({ description: 'Length of the sequence the model saw: text tokens and patches.' }),
    truncated: Type.Boolean({ description: 'Whether text was cut at the limit of the model.' }),
  },
  { title: 'Embedding', description: 'A unit vector and what it was made from.' },
);

export const EmbeddedMany = Type.Object(
  {
    results: Type.Array(
      Type.Union([Embedded, Type.Object({ error: AnyObject }, { description: 'A problem document.' })]),
    ),
  },
  {
    title: 'Embeddings',
    description: 'Several inputs, one reply: each has its embedding or its own error, in the order they came.',
  },
);

export const TextBody = Type.Object(
  {
    text: Type.Union([Text, Type.Array(Text, { minItems: 1, maxItems: MAX_INPUTS })]),
    role: Type.Optional(RoleName),
    ...MODEL,
  },
  { additionalProperties: false },
);
const TextQuery = Type.Object(
  { text: Type.Optional(Text), role: Type.Optional(RoleName), ...MODEL },
  { additionalProperties: false },
);
/** What may stand beside files, as fields or in the query. */
const InputFields = Type.Object({ role: Type.Optional(RoleName), ...MODEL }, { additionalProperties: false });
/** The same beside files that are an input each; other fields are of no account. */
const EachFields = Type.Object({ role: Type.Optional(RoleName), ...MODEL });

const MIXED = `The parts make one sequence, in their order. Its modal_type is the richest modality among them: words beside a
picture are an image, beside a clip a video.`;
const EMBED_EXAMPLES = [
  { text: 'a red car' },
  { image: RED_SQUARE },
  { parts: [{ text: 'from red to blue' }, { video: RED_TO_BLUE }] },
];
const response = { 200: Type.Union([Embedded, EmbeddedMany]) };
const config = { encodes: true };

export const embedRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { inputs, config: settings } = app.service;
  acceptRawBodies(app);

  app.post(
    '/embed',
    {
      config,
      schema: {
        operationId: 'embed',
        tags: ['embed'],
        summary: 'Text, picture, clip, or several of them that mean something together, to one vector',
        description: MIXED,
        querystring: ModelQuery,
        body: { content: { ...jsonContent(Input, EMBED_EXAMPLES), ...inputContent(InputFields) } },
        response: { 200: Embedded },
      },
    },
    async (request, reply) => {
      const { parts, filename, role, model } = await readInput(request);
      const { embedder } = answerWith(model, request, reply);
      return toJson(await embedder.embed(parts, embedOptions(request, model, role)), filename);
    },
  );

  app.post(
    '/embed/text',
    {
      config,
      schema: {
        operationId: 'embedText',
        tags: ['embed'],
        summary: 'A text, or several, to a vector each',
        querystring: TextQuery,
        body: { content: jsonContent(TextBody, [{ text: 'a red car' }, { text: ['a red car', '红色汽车'] }]) },
        response,
      },
    },
    async (request, reply) => {
      // The body was checked against TextBody by its route; it is absent when none was sent.
      const body = request.body as Static<typeof TextBody> | null | undefined;
      const text = body?.text ?? request.query.text;
      if (text === undefined) throw new Problem('empty_body', 'Send {"text": "..."} as JSON, or ?text=...');
      const role = body?.role ?? request.query.role;
      const model = answerWith(chosenModel(request, body?.model), request, reply);
      const embed = async (one: string) =>
        toJson(await model.embedder.embedText(one, embedOptions(request, model, role)));
      return Array.isArray(text) ? many(request, text, embed) : embed(text);
    },
  );

  for (const as of ['image', 'video'] as const) {
    const schema = {
      operationId: `embed${as === 'image' ? 'Image' : 'Video'}`,
      tags: ['embed'],
      summary: `${as === 'image' ? 'A picture' : 'A clip'}, or several, to a vector each`,
      querystring: EachFields,
      body: { content: filesContent(`${as}/*`, EachFields) },
      response,
    };
    app.post(`/embed/${as}`, { config, schema }, async (request, reply) => {
      const { files, fields, model } = await receiveEach(request, EachFields);
      answerWith(model, request, reply);
      const embed = async (file: ReceivedFile) => {
        if ('problem' in file) throw file.problem;
        const embedding = await model.embedder.embedMedia(file.upload, {
          as,
          ...embedOptions(request, model, fields.role),
        });
        return toJson(embedding, file.filename);
      };
      const [first, ...rest] = files;
      if (first === undefined) throw noFile();
      return rest.length > 0 ? many(request, files, embed) : embed(first);
    });
  }

  /** One input: multipart or raw, its parts in the order they came; or JSON. */
  async function readInput(request: FastifyRequest) {
    if (bringsFiles(request)) {
      const { fields, ...received } = await receiveInput(request, InputFields);
      return { ...received, role: fields.role };
    }
    const { role, model: named, ...input } = jsonBody<typeof Input>(request);
    const model = chosenModel(request, named);
    return { parts: await inputs.open(input, openOptions(request)), role, filename: undefined, model };
  }

  /** The replies to several inputs; a failure that is the whole request's (overload, a client gone) stays its own. */
  async function many<One, Reply>(request: FastifyRequest, all: readonly One[], embed: (one: One) => Promise<Reply>) {
    const settled = await mapConcurrent(all, 2 * settings.MAX_BATCH_SIZE, embed);
    const results = settled.map((outcome) => {
      if (outcome.status === 'fulfilled') return outcome.value;
      if (outcome.reason instanceof Problem && outcome.reason.status < 499) {
        return { error: outcome.reason.toDocument(request.id) };
      }
      throw outcome.reason;
    });
    return { results };
  }
};

function toJson({ vector, modality, tokens, truncated }: Embedding, filename?: string) {
  const named = filename === undefined ? {} : { filename };
  return { embedding: vectorToJson(vector), dim: vector.length, modal_type: modality, ...named, tokens, truncated };
}
