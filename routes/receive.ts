import { Readable } from 'node:stream';
import type { Multipart, MultipartFile } from '@fastify/multipart';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Static, TObject, TSchema } from 'typebox';
import { clientClosed, Problem } from '../src/errors.js';
import { ByteBudget } from '../src/inputs/budget.js';
import type { OpenOptions } from '../src/inputs/media-urls.js';
import type { InputPart } from '../src/inputs/part.js';
import { MAX_PARTS } from '../src/limits.js';
import { receive, type Upload } from '../src/media/spool.js';
import { parseFields } from './validator.js';

/** One file of a request: received, or refused with the reason. */
export type ReceivedFile = { filename?: string } & ({ upload: Upload } | { problem: Problem });

export interface Received {
  files: ReceivedFile[];
  /** The fields of a multipart body, by name. */
  fields: Record<string, string>;
  /** What is to be embedded, in the order it came: the files that were received, and fields named "text". */
  parts: InputPart[];
}

/** The field of a multipart body whose every value is a part to embed. */
const TEXT_FIELD = 'text';

/** Content types whose body is one file; the last is what `curl --data-binary` says when it is told nothing. */
const RAW_BODY = /^(?:(?:image|video)\/|application\/(?:octet-stream|x-www-form-urlencoded)\b)/;

/** How an embedding computed for this request is cancelled and timed. */
export const embedOptions = ({ clientSignal, record }: FastifyRequest) => ({ signal: clientSignal, record });

/** How what stands in the JSON body of this request is opened. */
export const openOptions = ({ clientSignal, server }: FastifyRequest): OpenOptions => ({
  field: 'body',
  signal: clientSignal,
  budget: new ByteBudget(server.service.config.MAX_UPLOAD_MB * 1e6),
});

/** Lets the routes of `app` take a file as the raw body. */
export function acceptRawBodies(app: FastifyInstance): void {
  app.addContentTypeParser(RAW_BODY, (_request, payload, done) => done(null, payload));
}

/** Whether the request brings files: multipart, or a raw body. */
export const bringsFiles = (request: FastifyRequest): boolean =>
  request.isMultipart() || request.body instanceof Readable;

/**
 * The JSON body, which was checked against its schema by the route.
 * @throws Problem `empty_body` when none was sent: then there was nothing to check
 */
export function jsonBody<Schema extends TSchema>({ body }: FastifyRequest): Static<Schema> {
  if (body === undefined || body === null) throw new Problem('empty_body', 'No body came: send JSON, or a file.');
  return body as Static<Schema>;
}

/**
 * Receives every file of a request, wherever its bytes stand. A file that is refused does not stop the others.
 * The caller owns the uploads.
 */
export async function receiveFiles(request: FastifyRequest): Promise<Received> {
  const received: Received = { files: [], fields: {}, parts: [] };
  if (!request.isMultipart()) {
    if (request.body instanceof Readable) addFile(received, await receiveOne(request, request.body));
    return received;
  }
  const { budget } = openOptions(request);
  try {
    for await (const part of partsOf(request)) {
      if (part.type === 'file') budget.spend(addFile(received, await receivePart(request, part)));
      else if (part.fieldname === TEXT_FIELD) received.parts.push({ text: String(part.value) });
      else received.fields[part.fieldname] = String(part.value);
    }
    return received;
  } catch (error) {
    // What is left of the body must flow, or the connection could neither be used again nor end.
    request.raw.unpipe().resume();
    await disposeAll(received.files);
    throw request.clientSignal.aborted ? clientClosed() : error;
  }
}

/** The parts of a multipart body. */
async function* partsOf(request: FastifyRequest): AsyncGenerator<Multipart> {
  try {
    yield* request.parts();
  } catch (error) {
    throw asFormProblem(error);
  }
}

/** What the parser has to complain of is the client's mistake; only those errors have no code. */
function asFormProblem(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof Problem || 'code' in error) return error;
  return new Problem('invalid_request', `The multipart body is not valid: ${error.message}.`, { in: 'body' });
}

/** @returns the bytes of the file */
function addFile({ files, parts }: Received, file: ReceivedFile): number {
  files.push(file);
  if (!('upload' in file)) return 0;
  parts.push({ upload: file.upload });
  return file.upload.size;
}

/** What a request brings to be embedded, with what stands beside it, checked. */
export interface ReceivedInput<Fields extends TObject> {
  /** Files and fields named "text", in the order they came; the caller owns the uploads. */
  parts: InputPart[];
  /** Name of the first file that has one. */
  filename?: string;
  fields: Static<Fields>;
}

/**
 * Receives files and texts that are one input; `schema` is what may stand beside them, as multipart fields or
 * in the query.
 * @throws Problem when there is no part, too many, or one that was refused, and when a field is not valid
 */
export async function receiveInput<Fields extends TObject>(
  request: FastifyRequest,
  schema: Fields,
): Promise<ReceivedInput<Fields>> {
  const { files, fields, parts } = await receiveFiles(request);
  try {
    const refused = files.find((file) => 'problem' in file);
    if (refused !== undefined) throw refused.problem;
    if (parts.length === 0) throw noFile();
    if (parts.length > MAX_PARTS) throw tooManyParts(parts.length);
    const filename = files.find((file) => file.filename !== undefined)?.filename;
    const checked = parseFields(schema, { ...(request.query as object), ...fields });
    return { parts, ...(filename === undefined ? {} : { filename }), fields: checked };
  } catch (error) {
    await disposeAll(files);
    throw error;
  }
}

const tooManyParts = (count: number) =>
  new Problem('invalid_request', `One input has at most ${MAX_PARTS} parts; ${count} came.`, {
    limit_parts: MAX_PARTS,
  });

export const noFile = () =>
  new Problem(
    'empty_body',
    'No file came: send it as the multipart field "file", or as the body with its content type.',
  );

async function disposeAll(files: readonly ReceivedFile[]): Promise<void> {
  await Promise.all(files.map((file) => ('upload' in file ? file.upload.dispose() : undefined)));
}

async function receivePart(request: FastifyRequest, part: MultipartFile): Promise<ReceivedFile> {
  const file = await receiveOne(request, part.file).catch((error: unknown) => {
    throw asFormProblem(error);
  });
  return part.filename ? { ...file, filename: part.filename } : file;
}

async function receiveOne(request: FastifyRequest, stream: Readable): Promise<ReceivedFile> {
  const { config, spoolFolder } = request.server.service;
  const start = performance.now();
  try {
    const options = { maxBytes: config.MAX_UPLOAD_MB * 1e6, folder: spoolFolder, signal: request.clientSignal };
    const upload = await receive(stream, options);
    request.record('receive', upload.modality, (performance.now() - start) / 1000);
    return { upload };
  } catch (error) {
    if (error instanceof Problem) return { problem: error };
    throw error;
  }
}
