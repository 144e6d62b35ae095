import type { FastifyReply, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import { ROLLOUT_KEY_HEADER } from '../common/headers.js';
import type { ServedModel } from '../serving/served-model.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** Id of the model that answers, where one does: the reply's header says it. */
    answeredBy: string | undefined;
  }
}

export const ModelName = Type.String({
  minLength: 1,
  maxLength: 256,
  description: 'As /v1/models names it; without it the default model answers.',
});
/** The field of a body, or of the query, that chooses a model. */
export const MODEL = { model: Type.Optional(ModelName) };
/** A query that chooses a model, where the body may stand for more. */
export const ModelQuery = Type.Object(MODEL);

/**
 * The model that a request names, in its body or its query; the default when it names none.
 * @throws Problem `model_not_found`
 */
export function chosenModel({ server, query }: FastifyRequest, inBody?: string): ServedModel {
  return server.service.models.get(inBody ?? (query as { model?: string }).model);
}

/** Whether a request names a model, in its body or its query. */
export const isModelNamed = ({ query }: FastifyRequest, inBody?: string): boolean =>
  (inBody ?? (query as { model?: string }).model) !== undefined;

/** What decides, during a rollout, which model answers: the key that the caller gives, or the request's id. */
export function rolloutKey({ headers, id }: FastifyRequest): string {
  const given = headers[ROLLOUT_KEY_HEADER];
  return typeof given === 'string' ? given : id;
}

/** Has `model` answer: it stays open until the reply has been sent, and the reply says which it was. */
export function answerWith(model: ServedModel, request: FastifyRequest, reply: FastifyReply): ServedModel {
  reply.raw.once('close', model.use());
  request.answeredBy = model.id;
  return model;
}
