import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { Static } from 'typebox';
import { invalidField } from '../src/common/errors.js';
import { shorten, toBase64, toDecimals } from '../src/common/vector.js';
import { inputsOf } from '../src/http/body/openai-content.js';
import { readJson } from '../src/http/body/read-body.js';
import { limitsOf } from '../src/http/request-limits.js';
import {
  createEmbeddingsSchema,
  type EmbeddingsBody,
  getModelSchema,
  listModelsSchema,
  type ModelCard,
} from '../src/http/schemas/openai.js';
import { exactlyOne } from '../src/inputs/exactly-one.js';
import { mapConcurrent } from '../src/lib/async/map-concurrent.js';
import type { ModelManifest } from '../src/models/manifest.js';
import type { ServedModel } from '../src/serving/served-model.js';

/** OpenAI's embeddings API. Its errors are problem documents with an `error` member. */
export const openAiRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { config, inputs, models, concurrency } = app.service;

  app.post(
    '/v1/embeddings',
    {
      config: { encodes: true },
      preValidation: async ({ body }) => refuseTokens(body),
      schema: createEmbeddingsSchema,
    },
    async (request) => {
      const body = readJson<typeof EmbeddingsBody>(request);
      const { input, messages, model: name, encoding_format, dimensions, input_type: role } = body;
      const model = request.scope.use(models.get(name));
      checkDimensions(dimensions, model.manifest);
      exactlyOne(body, ['input', 'messages'], 'body');
      const all = inputsOf(input, messages);
      const paths = all.map((_, i) => (all.length === 1 ? 'body.input' : `body.input.${i}`));
      const settled = await mapConcurrent([...all.entries()], concurrency, async ([i, one]) =>
        model.embedder.embed(await inputs.open(one, paths[i] as string, request.scope), request.scope, role),
      );
      const embeddings = settled.map((outcome) => {
        if (outcome.status === 'rejected') throw outcome.reason;
        return outcome.value;
      });
      const encode = encoding_format === 'base64' ? toBase64 : toDecimals;
      const tokens = embeddings.reduce((sum, { tokens }) => sum + tokens, 0);
      return {
        object: 'list' as const,
        data: embeddings.map(({ vector, truncated }, index) => ({
          object: 'embedding' as const,
          index,
          ...(truncated ? { truncated } : {}),
          embedding: encode(shorten(vector, dimensions ?? model.dim)),
        })),
        model: models.nameOf(model),
        usage: { prompt_tokens: tokens, total_tokens: tokens },
      };
    },
  );

  app.get('/v1/models', { schema: listModelsSchema }, async () => ({
    object: 'list' as const,
    data: models.all.map(cardOf),
  }));

  app.get('/v1/models/:id', { schema: getModelSchema }, async ({ params }) => cardOf(models.get(params.id)));

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

/** The lengths that a vector of the model may have, the full one first. */
const lengthsOf = ({ dim, matryoshka }: ModelManifest): number[] => [...new Set([dim, ...matryoshka])];

function checkDimensions(dimensions: number | undefined, manifest: ModelManifest): void {
  const lengths = lengthsOf(manifest);
  if (dimensions === undefined || lengths.includes(dimensions)) return;
  const detail = `body.dimensions must be one of ${lengths.join(', ')}; received ${dimensions}.`;
  throw invalidField('body.dimensions', detail, { allowed: lengths });
}

/** Token ids are numbers of another model's vocabulary; here they would be valid nonsense. */
function refuseTokens(body: unknown): void {
  const input = typeof body === 'object' && body !== null && 'input' in body ? body.input : undefined;
  const isNumbers = (value: unknown) => Array.isArray(value) && typeof value[0] === 'number';
  if (!isNumbers(input) && !(Array.isArray(input) && isNumbers(input[0]))) return;
  const detail = 'body.input has token ids, and this model has its own tokenizer; send the text itself.';
  throw invalidField('body.input', detail);
}
