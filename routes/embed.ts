import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { FastifyRequest } from 'fastify';
import type { Static } from 'typebox';
import { Problem } from '../src/common/errors.js';
import { toDecimals } from '../src/common/vector.js';
import type { Embedding } from '../src/embedding/embedding.js';
import {
  acceptRawBodies,
  type FileEntry,
  hasFiles,
  modelOfQuery,
  noFile,
  oneInput,
  readForm,
  readJson,
} from '../src/http/body/read-body.js';
import {
  EachFields,
  embedMediaSchema,
  embedSchema,
  embedTextSchema,
  InputFields,
  type TextBody,
} from '../src/http/schemas/embed.js';
import type { Input } from '../src/http/schemas/input.js';
import { entriesOf, Refused } from '../src/http/validation/refused.js';
import { mapConcurrent } from '../src/lib/async/map-concurrent.js';

const config = { encodes: true };

export const embedRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { inputs, models, concurrency } = app.service;
  acceptRawBodies(app);

  app.post('/embed', { config, schema: embedSchema }, async (request) => {
    const { parts, filename, role, model: name } = await readInput(request);
    const { embedder } = request.scope.use(models.get(name));
    return toJson(await embedder.embed(parts, request.scope, role), filename);
  });

  app.post('/embed/text', { config, schema: embedTextSchema }, async (request) => {
    // Checked by the schema of the route; absent when no body was sent.
    const body = request.body as Static<typeof TextBody> | null | undefined;
    const { text, role, model: name } = { ...request.query, ...body };
    if (text === undefined) throw new Problem('empty_body', 'Send {"text": "..."} as JSON, or ?text=...');
    const { embedder } = request.scope.use(models.get(name));
    const embed = async (one: string | Refused) => {
      if (one instanceof Refused) throw one.problem;
      return toJson(await embedder.embed([{ text: one }], request.scope, role));
    };
    return Array.isArray(text) ? many(request, entriesOf(text), embed) : embed(text);
  });

  for (const as of ['image', 'video'] as const) {
    app.post(`/embed/${as}`, { config, schema: embedMediaSchema(as) }, async (request) => {
      const { entries, fields } = await readForm(request, EachFields);
      const { embedder } = request.scope.use(models.get(fields.model));
      const embed = async (file: FileEntry) => {
        if ('problem' in file) throw file.problem;
        const part = { upload: file.upload, as };
        return toJson(await embedder.embed([part], request.scope, fields.role), file.filename);
      };
      const files = entries.filter((entry): entry is FileEntry => !('text' in entry));
      const [first, ...others] = files;
      if (first === undefined) throw noFile();
      return others.length > 0 ? many(request, files, embed) : embed(first);
    });
  }

  /** One input: the entries of a form in their order, a raw file, or JSON. */
  async function readInput(request: FastifyRequest) {
    if (hasFiles(request)) {
      const { entries, fields } = await readForm(request, InputFields);
      return { ...oneInput(entries), ...fields };
    }
    const { role, model, ...input } = readJson<typeof Input>(request);
    const parts = await inputs.open(input, 'body', request.scope);
    return { parts, filename: undefined, role, model: model ?? modelOfQuery(request) };
  }

  /** The reply to several inputs. A failure of the whole request (overload, a client that disconnected) is thrown. */
  async function many<One, Reply>(request: FastifyRequest, all: readonly One[], embed: (one: One) => Promise<Reply>) {
    const settled = await mapConcurrent(all, concurrency, embed);
    const results = settled.map((outcome) => {
      if (outcome.status === 'fulfilled') return outcome.value;
      if (outcome.reason instanceof Problem && outcome.reason.isOfInput)
        return { error: outcome.reason.toDocument(request.id) };
      throw outcome.reason;
    });
    return { results };
  }
};

function toJson({ vector, modality, tokens, truncated }: Embedding, filename?: string) {
  const named = filename === undefined ? {} : { filename };
  return { embedding: toDecimals(vector), dim: vector.length, modal_type: modality, ...named, tokens, truncated };
}
