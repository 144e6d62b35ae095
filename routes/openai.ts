import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { FastifyRequest } from 'fastify';
import type { Static } from 'typebox';
import { Problem } from '../src/common/errors.js';
import { shorten, toBase64 } from '../src/common/vector.js';
import type { Embedding } from '../src/embedding/embedding.js';
import { inputsOf } from '../src/http/body/openai-content.js';
import { embedOptions, jsonBody, openOptions } from '../src/http/body/read-input.js';
import { answerWith, chosenModel } from '../src/http/model-selection.js';
import { limitsOf } from '../src/http/request-limits.js';
import { jsonContent } from '../src/http/schemas/body-content.js';
import { vectorToJson } from '../src/http/schemas/common.js';
import {
  EmbeddingsBody,
  EmbeddingsReply,
  EXAMPLES,
  ModelCard,
  ModelList,
  ModelPath,
} from '../src/http/schemas/openai.js';
import type { Role } from '../src/inference/encoder.js';
import type { JsonInput } from '../src/inputs/json-input.js';
import { mapConcurrent } from '../src/lib/map-concurrent.js';
import type { ModelManifest } from '../src/models/manifest.js';
import type { ServedModel } from '../src/serving/served-model.js';

/** What clients of OpenAI's embeddings interface call; their errors are problem documents with an `error` member. */
export const openAiRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { config, inputs, models } = app.service;

  app.post(
    '/v1/embeddings',
    {
      config: { encodes: true },
      preValidation: async ({ body }) => refuseTokens(body),
      schema: {
        operationId: 'createEmbeddings',
        tags: ['openai'],
        summary: 'Embeddings, as clients of OpenAI ask for them',
        body: { content: jsonContent(EmbeddingsBody, EXAMPLES) },
        response: { 200: EmbeddingsReply },
      },
    },
    async (request, reply) => {
      const body = jsonBody<typeof EmbeddingsBody>(request);
      const { input, messages, model: name, encoding_format, dimensions } = body;
      const model = answerWith(chosenModel(request, name), request, reply);
      const { manifest } = model;
      checkDimensions(dimensions, manifest);
      checkOneOf(input, messages);
      const embeddings = await embedAll(request, model, inputsOf(input, messages), body.input_type);
      const encode = encoding_format === 'base64' ? toBase64 : vectorToJson;
      const tokens = embeddings.reduce((sum, { tokens }) => sum + tokens, 0);
      return {
        object: 'list' as const,
        data: embeddings.map(({ vector, truncated }, index) => ({
          object: 'embedding' as const,
          index,
          ...(truncated ? { truncated } : {}),
          embedding: encode(shorten(vector, dimensions ?? manifest.dim)),
        })),
        model: models.nameOf(model),
        usage: { prompt_tokens: tokens, total_tokens: tokens },
      };
    },
  );

  app.get(
    '/v1/models',
    {
      schema: {
        operationId: 'listModels',
        tags: ['openai'],
        summary: 'The models served, each with its limits',
        response: { 200: ModelList },
      },
    },
    async () => ({
      object: 'list' as const,
      data: models.all.map(cardOf),
    }),
  );

  app.get(
    '/v1/models/:id',
    {
      schema: {
        operationId: 'getModel',
        tags: ['openai'],
        summary: 'One model',
        params: ModelPath,
        response: { 200: ModelCard },
      },
    },
    async ({ params }) => cardOf(models.get(params.id)),
  );

  async function embedAll(
    request: FastifyRequest,
    model: ServedModel,
    all: readonly JsonInput[],
    role: Role | undefined,
  ): Promise<Embedding[]> {
    const options = openOptions(request);
    const embed = async (input: JsonInput, field: string) =>
      model.embedder.embed(await inputs.open(input, { ...options, field }), embedOptions(request, model, role));
    const numbered = all.map((input, i) => [input, all.length === 1 ? 'body.input' : `body.input.${i}`] as const);
    const settled = await mapConcurrent(numbered, 2 * config.MAX_BATCH_SIZE, ([input, field]) => embed(input, field));
    return settled.map((outcome) => {
      if (outcome.status === 'rejected') throw outcome.reason;
      return outcome.value;
    });
  }

  function cardOf(model: ServedModel): Static<typeof ModelCard> {
    const { manifest } = model;
    return {
      id: models.nameOf(model),
      object: 'model',
      created: 0,
      owned_by: 'onespace',
      revision: manifest.revision,
      licence: manifest.licence,
      description: manifest.description,
      modalities: [...manifest.modalities],
      temporal: manifest.temporal,
      dimensions: lengthsOf(manifest),
      limits: limitsOf(config, manifest),
    };
  }
};

const lengthsOf = ({ dim, matryoshka }: ModelManifest): number[] => [...new Set([dim, ...matryoshka])];

function checkDimensions(dimensions: number | undefined, manifest: ModelManifest): void {
  const lengths = lengthsOf(manifest);
  if (dimensions === undefined || lengths.includes(dimensions)) return;
  const detail = `body.dimensions must be one of ${lengths.join(', ')}; ${dimensions} came.`;
  throw new Problem('invalid_request', detail, { in: 'body', field: 'dimensions', allowed: lengths });
}

function checkOneOf(input: Static<typeof EmbeddingsBody>['input'], messages: unknown): void {
  if ((input === undefined) === (messages === undefined)) {
    throw new Problem('invalid_request', 'Send one of "input" and "messages".', { in: 'body', field: 'input' });
  }
}

/** Token ids are numbers of another model's vocabulary; they would be valid nonsense here. */
function refuseTokens(body: unknown): void {
  const input = typeof body === 'object' && body !== null && 'input' in body ? body.input : undefined;
  const isNumbers = (value: unknown) => Array.isArray(value) && typeof value[0] === 'number';
  if (!isNumbers(input) && !(Array.isArray(input) && isNumbers(input[0]))) return;
  const detail = 'body.input holds token ids; this model has a tokenizer of its own: send the text itself.';
  throw new Problem('invalid_request', detail, { in: 'body', field: 'input' });
}
