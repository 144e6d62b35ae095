/**
 * Every error reply of the service. Codes are stable: clients may depend on them. The engine throws `Problem`; the
 * error handler turns it into RFC 9457 `application/problem+json`.
 */
const PROBLEMS = {
  invalid_request: [400, 'The request is not valid'],
  invalid_json: [400, 'The body is not valid JSON'],
  empty_body: [400, 'The request has no content to embed'],
  invalid_cursor: [400, 'The cursor is not one of this service'],
  unauthorized: [401, 'An API key is needed'],
  forbidden: [403, 'This is not allowed'],
  url_not_allowed: [403, 'This service may not fetch the URL'],
  not_found: [404, 'Not found'],
  model_not_found: [404, 'There is no such model'],
  method_not_allowed: [405, 'Method not allowed'],
  request_timeout: [408, 'The request took too long to arrive'],
  rollout_conflict: [409, 'The rollout does not allow this now'],
  candidate_incomplete: [409, "The candidate's index is incomplete"],
  conflict: [409, 'The request conflicts with what is stored'],
  index_model_mismatch: [409, 'The index was made by another model'],
  too_large: [413, 'The request is larger than allowed'],
  too_many_pixels: [413, 'The image has more pixels than allowed'],
  video_too_long: [413, 'The video is longer than allowed'],
  unsupported_media: [415, 'This media type is not supported'],
  wrong_modality: [415, 'The file is of another modality than the route expects'],
  host_not_allowed: [421, 'This service does not answer under this name'],
  broken_media: [422, 'The file cannot be decoded'],
  decode_timeout: [422, 'Decoding the file took longer than allowed'],
  fetch_failed: [422, 'The file of the URL cannot be fetched'],
  wrong_dimension: [422, 'The vector does not have the dimension of the model'],
  not_normalizable: [422, 'The vector has no direction'],
  model_not_usable: [422, 'The model cannot be served'],
  rate_limited: [429, 'Too many requests'],
  headers_too_large: [431, 'The headers are larger than allowed'],
  client_closed: [499, 'The client closed the request'],
  internal: [500, 'The service failed'],
  rollout_unsupported: [501, 'This service cannot do a rollout'],
  overloaded: [503, 'The service is at its limit'],
  starting: [503, 'The service is starting'],
  not_ready: [503, 'The service is not ready'],
  unavailable: [503, 'The model does not run at the moment'],
  shutting_down: [503, 'The service is shutting down'],
  store_unavailable: [503, 'The vector store cannot be reached'],
  model_unavailable: [503, 'The model cannot be reached'],
  disk_full: [507, 'The disk is full'],
} as const satisfies Record<string, readonly [status: number, title: string]>;

/** From this status on, an error is not the fault of an input: overload, a failure, a client that disconnected. */
const CLIENT_CLOSED = 499;

export type ProblemCode = keyof typeof PROBLEMS;

/** The RFC 9457 document of one problem. */
export interface ProblemDocument {
  type: string;
  code: ProblemCode;
  title: string;
  status: number;
  detail: string;
  request_id?: string;
  [extension: string]: unknown;
}

/**
 * An error with a stable code, reported to the caller.
 *
 * @param detail a sentence that says what is wrong and what is allowed; never a file path or a stack
 * @param extensions further members of the problem document, such as a limit or the type received
 */
export class Problem extends Error {
  override readonly name = 'Problem';
  readonly status: number;

  constructor(
    readonly code: ProblemCode,
    readonly detail: string,
    readonly extensions: Record<string, unknown> = {},
    options?: ErrorOptions,
  ) {
    super(detail, options);
    this.status = PROBLEMS[code][0];
  }

  /** Whether it is about one input, and would recur with it; otherwise it concerns the whole request. */
  get isOfInput(): boolean {
    return this.status < CLIENT_CLOSED;
  }

  toDocument(requestId?: string): ProblemDocument {
    return {
      type: `urn:onespace:problem:${this.code}`,
      code: this.code,
      title: PROBLEMS[this.code][1],
      status: this.status,
      detail: this.detail,
      ...this.extensions,
      ...(requestId === undefined ? {} : { request_id: requestId }),
    };
  }
}

/** The problem of a client that closed its connection: thrown wherever an aborted signal is noticed. */
export const clientClosed = () => new Problem('client_closed', 'The client closed the connection.');

/**
 * The problem of one field of a request.
 * @param path of the field with its part of the request: `body.parts.0.image`
 * @param detail a sentence that names the field, what was received and what is allowed
 */
export function invalidField(
  path: string,
  detail: string,
  {
    code = 'invalid_request',
    cause,
    ...extensions
  }: { code?: ProblemCode; cause?: unknown; [member: string]: unknown } = {},
): Problem {
  const [part = 'body', ...field] = path.split('.');
  return new Problem(code, detail, { in: part, field: field.join('.'), ...extensions }, { cause });
}
