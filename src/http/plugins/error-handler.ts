import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { Problem, type ProblemCode } from '../../common/errors.js';
import { fileProblem } from '../../store/disk-errors.js';
import { observeReply } from './request-scope.js';
import { SECURITY_HEADERS } from './security-headers.js';

const FRAMEWORK_CODES: Record<string, ProblemCode> = {
  FST_ERR_CTP_BODY_TOO_LARGE: 'too_large',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'unsupported_media',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'empty_body',
  FST_ERR_CTP_INVALID_JSON_BODY: 'invalid_json',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'invalid_request',
  FST_ERR_VALIDATION: 'invalid_request',
  FST_REQ_FILE_TOO_LARGE: 'too_large',
  FST_FILES_LIMIT: 'too_large',
  FST_FIELDS_LIMIT: 'too_large',
  FST_PARTS_LIMIT: 'too_large',
  FST_MP_PREMATURE_CLOSE: 'client_closed',
  FST_ERR_BAD_URL: 'invalid_request',
  FST_INVALID_MULTIPART_CONTENT_TYPE: 'unsupported_media',
  ECONNRESET: 'client_closed',
};

/** Answers every error, unknown paths and methods included, as RFC 9457 `application/problem+json` with the request's id. */
export function answerProblems(app: FastifyInstance): void {
  app.setErrorHandler((error: FastifyError, request, reply) => send(toProblem(error), request, reply));
  const methodsOf = recordMethods(app);
  app.setNotFoundHandler((request, reply) => {
    const path = request.url.split('?')[0] ?? '';
    const methods = methodsOf(path);
    if (methods.length === 0) {
      return send(new Problem('not_found', `There is no route ${request.method} ${path}.`), request, reply);
    }
    reply.header('allow', methods.join(', '));
    const detail = `${path} takes ${methods.join(', ')}; received ${request.method}.`;
    return send(new Problem('method_not_allowed', detail, { allowed: methods }), request, reply);
  });
}

/** Records the routes added from now on. @returns the methods of a path, `GET /items` for instance */
function recordMethods(app: FastifyInstance): (path: string) => string[] {
  const routes: { pattern: RegExp; methods: string[] }[] = [];
  app.addHook('onRoute', ({ url, method }) => {
    // The catch-all routes (of the page at /docs, of CORS) would match every path.
    if (url.includes('*')) return;
    const pattern = new RegExp(`^${url.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replace(/:\w+/g, '[^/]+')}$`);
    routes.push({ pattern, methods: [method].flat() });
  });
  return (path) => [...new Set(routes.flatMap(({ pattern, methods }) => (pattern.test(path) ? methods : [])).sort())];
}

/** Answers an error that the framework raises before the hooks of a request run, and instead of them. */
export const answerFrameworkError = (error: FastifyError, request: FastifyRequest, reply: FastifyReply): void => {
  observeReply(request, reply);
  for (const [name, value] of SECURITY_HEADERS) reply.header(name, value);
  send(toProblem(error), request, reply);
};

/** What failed, with its cause; a limit that was reached, of which a flood of requests reports thousands, in few words. */
function log(problem: Problem, request: FastifyRequest): void {
  const { code, cause, message } = problem;
  if (cause !== undefined || code === 'internal') request.log.error({ err: cause ?? problem }, message);
  else request.log.warn({ code }, message);
}

function send(problem: Problem, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  if (problem.status >= 500 && request.scope?.signal.aborted !== true) log(problem, request);
  const { retry_after_seconds: retryAfterSeconds } = problem.extensions;
  reply.header('x-request-id', request.id);
  if (problem.status === 503 || retryAfterSeconds !== undefined)
    reply.header('retry-after', String(retryAfterSeconds ?? 1));
  const document = toProblemDocument(problem, request);
  return reply.code(problem.status).type('application/problem+json').serializer(JSON.stringify).send(document);
}

/** The document that answers a request of this id and URL. */
export function toProblemDocument(problem: Problem, request: { id: string; url: string }): object {
  return { ...problem.toDocument(request.id), ...openAiError(problem, request) };
}

const OPENAI_ERROR_TYPES: Record<number, string> = {
  401: 'authentication_error',
  403: 'permission_error',
  404: 'not_found_error',
  429: 'rate_limit_error',
};

/** Under /v1 the document has one more member, where clients of OpenAI's API look for the message. */
function openAiError({ status, detail, code, extensions }: Problem, { url }: { url: string }): Record<string, unknown> {
  if (!url.startsWith('/v1/')) return {};
  const type = OPENAI_ERROR_TYPES[status] ?? (status < 500 ? 'invalid_request_error' : 'server_error');
  return { error: { message: detail, type, param: extensions.field ?? null, code } };
}

/** A client learns the details of its own mistakes; of a failure of the service, only that there was one. */
function toProblem(error: FastifyError | Problem): Problem {
  if (error instanceof Problem) return error;
  const code = FRAMEWORK_CODES[error.code];
  if (code !== undefined) return new Problem(code, describe(error), where(error));
  if (error instanceof SyntaxError && error.statusCode === 400) return new Problem('invalid_json', describe(error));
  if (error.statusCode !== undefined && error.statusCode < 500) return new Problem('invalid_request', describe(error));
  const ofDisk = fileProblem(error);
  if (ofDisk !== undefined) return ofDisk;
  return new Problem('internal', 'Something failed in the service; the log has the details.', {}, { cause: error });
}

/** The framework's message as a sentence. */
function describe({ message }: FastifyError): string {
  return `${message.charAt(0).toUpperCase()}${message.slice(1).replace(/\.?$/, '.')}`;
}

/** The field that was wrong, as a JSON pointer with its part of the request. */
function where({ validation, validationContext }: FastifyError): Record<string, unknown> {
  const first = validation?.[0];
  if (first === undefined) return {};
  return { in: validationContext ?? 'body', field: first.instancePath };
}
