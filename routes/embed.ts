import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { FastifyRequest } from 'fastify';
import { type Static, Type } from 'typebox';
import type { Embedding } from '../src/embedding.js';
import { Problem } from '../src/errors.js';
import { acceptRawBodies, embedOptions, noFile, type ReceivedFile, receiveFiles } from './receive.js';
import { ModalityName, Text, Vector, vectorToJson } from './schemas.js';

const MAX_TEXTS = 256;

const Embedded = Type.Object({
  embedding: Vector,
  dim: Type.Integer(),
  modal_type: ModalityName,
  filename: Type.Optional(Type.String()),
  tokens: Type.Integer({ description: 'Length of the sequence the model saw: text tokens and patches.' }),
  truncated: Type.Boolean({ description: 'Whether text was cut at the limit of the model.' }),
});

/** Several inputs, one reply: each has its embedding or its own error, in the order they came. */
const EmbeddedMany = Type.Object({
  results: Type.Array(
    Type.Union([
      Embedded,
      Type.Object({ error: Type.Record(Type.String(), Type.Unknown()), filename: Type.Optional(Type.String()) }),
    ]),
  ),
});

const TextBody = Type.Object(
  { text: Type.Union([Text, Type.Array(Text, { minItems: 1, maxItems: MAX_TEXTS })]) },
  { additionalProperties: false },
);
const TextQuery = Type.Object({ text: Type.Optional(Text) }, { additionalProperties: false });

const response = { 200: Type.Union([Embedded, EmbeddedMany]) };
const config = { encodes: true };

export const embedRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { embedder } = app.service;
  acceptRawBodies(app);

  app.post(
    '/embed/text',
    {
      config,
      schema: { querystring: TextQuery, body: { content: { 'application/json': { schema: TextBody } } }, response },
    },
    async (request) => {
      // The body was checked against TextBody by its route; it is absent when none was sent.
      const body = request.body as Static<typeof TextBody> | null | undefined;
      const text = body?.text ?? request.query.text;
      if (text === undefined) throw new Problem('empty_body', 'Send {"text": "..."} as JSON, or ?text=...');
      const embed = async (one: string) => toJson(await embedder.embedText(one, embedOptions(request)));
      return Array.isArray(text) ? many(request, text.map(embed)) : embed(text);
    },
  );

  for (const as of ['image', 'video'] as const) {
    app.post(`/embed/${as}`, { config, schema: { response } }, async (request) => {
      const { files } = await receiveFiles(request);
      const embed = async (file: ReceivedFile) => {
        if ('problem' in file) throw file.problem;
        const embedding = await embedder.embedMedia(file.upload, { as, ...embedOptions(request) });
        return toJson(embedding, file.filename);
      };
      const [first, ...rest] = files;
      if (first === undefined) throw noFile();
      return rest.length > 0 ? many(request, files.map(embed)) : embed(first);
    });
  }
};

function toJson({ vector, modality, tokens, truncated }: Embedding, filename?: string) {
  const named = filename === undefined ? {} : { filename };
  return { embedding: vectorToJson(vector), dim: vector.length, modal_type: modality, ...named, tokens, truncated };
}

/** The replies of several inputs; a failure that is the whole request's (overload, a client gone) stays its own. */
async function many<Reply>(request: FastifyRequest, replies: readonly Promise<Reply>[]) {
  const settled = await Promise.allSettled(replies);
  const results = settled.map((outcome) => {
    if (outcome.status === 'fulfilled') return outcome.value;
    if (outcome.reason instanceof Problem && outcome.reason.status < 499) {
      return { error: outcome.reason.toDocument(request.id) };
    }
    throw outcome.reason;
  });
  return { results };
}
