import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { FastifyRequest } from 'fastify';
import type { Static } from 'typebox';
import { ROLLOUT_KEY_HEADER } from '../src/common/headers.js';
import { toDecimal, toDecimals } from '../src/common/vector.js';
import { acceptRawBodies, hasFiles, modelOfQuery, oneInput, readForm, readJson } from '../src/http/body/read-body.js';
import { type RetrieveBody, RetrieveFields, retrieveSchema, type ScoredItem } from '../src/http/schemas/retrieve.js';
import { openTerms, type Term } from '../src/search/query-terms.js';
import type { SearchResult } from '../src/search/search.js';

type Options = Omit<Static<typeof RetrieveFields>, 'model'> & { model?: string | undefined };

export const retrieveRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { inputs, models } = app.service;
  acceptRawBodies(app);

  app.post('/retrieve', { config: { encodes: true }, schema: retrieveSchema }, async (request) => {
    const { scope } = request;
    const { terms, model: name, ...options } = await readQuery(request);
    const search = {
      terms,
      topK: options.top_k,
      offset: options.offset,
      minScore: options.min_score,
      modality: options.modal_type,
      filter: options.filter,
      withVectors: options.include.includes('embedding'),
    };
    const target = { model: scope.use(models.get(name)), isNamed: name !== undefined, key: rolloutKey(request) };
    const { results, model } = await models.router.search(search, target, scope);
    if (model !== target.model) scope.use(model);
    return { results: results.map((result) => toJson(result, options.include)) };
  });

  /** The terms of a query and its options: of a form, a raw file, or JSON. */
  async function readQuery(request: FastifyRequest): Promise<Options & { terms: Term[] }> {
    if (hasFiles(request)) {
      const { entries, fields } = await readForm(request, RetrieveFields);
      return { ...fields, terms: [{ parts: oneInput(entries).parts, weight: 1 }] };
    }
    const body = readJson<typeof RetrieveBody>(request);
    const model = body.model ?? modelOfQuery(request);
    return { ...body, model, terms: await openTerms(body, inputs, models.get(model).dim, request.scope) };
  }
};

/** During a rollout, decides which model answers: the key that the caller gives, or the id of the request. */
function rolloutKey({ headers, id }: FastifyRequest): string {
  const key = headers[ROLLOUT_KEY_HEADER];
  return typeof key === 'string' ? key : id;
}

function toJson({ score, vector, id, modality, metadata }: SearchResult, include: Options['include']) {
  const json: Static<typeof ScoredItem> = {
    id,
    // In float32, the inner product of a unit vector with itself may be slightly above 1.
    score: toDecimal(Math.min(1, Math.max(-1, score))),
    modal_type: modality,
  };
  if (include.includes('metadata')) json.metadata = metadata;
  if (vector !== undefined) json.embedding = toDecimals(vector);
  return json;
}
