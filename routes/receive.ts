import { Readable } from 'node:stream';
import type { MultipartFile } from '@fastify/multipart';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Static, TObject } from 'typebox';
import { clientClosed, Problem } from '../src/errors.js';
import { receive, type Upload } from '../src/media/spool.js';
import { parseFields } from './validator.js';

/** One file of a request: received, or refused with the reason. */
export type ReceivedFile = { filename?: string } & ({ upload: Upload } | { problem: Problem });

export interface Received {
  files: ReceivedFile[];
  /** The other parts of a multipart body, by name. */
  fields: Record<string, string>;
}

/** Content types whose body is one file; the last is what `curl --data-binary` says when it is told nothing. */
const RAW_BODY = /^(?:(?:image|video)\/|application\/(?:octet-stream|x-www-form-urlencoded)\b)/;

/** How an embedding computed for this request is cancelled and timed. */
export const embedOptions = ({ clientSignal, record }: FastifyRequest) => ({ signal: clientSignal, record });

/** Lets the routes of `app` take a file as the raw body. */
export function acceptRawBodies(app: FastifyInstance): void {
  app.addContentTypeParser(RAW_BODY, (_request, payload, done) => done(null, payload));
}

/** Whether the request brings files: multipart, or a raw body. */
export const bringsFiles = (request: FastifyRequest): boolean =>
  request.isMultipart() || request.body instanceof Readable;

/**
 * Receives every file of a request, wherever its bytes stand. A file that is refused does not stop the others.
 * The caller owns the uploads.
 */
export async function receiveFiles(request: FastifyRequest): Promise<Received> {
  const received: Received = { files: [], fields: {} };
  if (!request.isMultipart()) {
    if (request.body instanceof Readable) received.files.push(await receiveOne(request, request.body));
    return received;
  }
  try {
    for await (const part of request.parts()) {
      if (part.type === 'file') received.files.push(await receivePart(request, part));
      else received.fields[part.fieldname] = String(part.value);
    }
    return received;
  } catch (error) {
    await disposeAll(received.files);
    throw request.clientSignal.aborted ? clientClosed() : error;
  }
}

/** A request's one file with what stands beside it, checked. */
export interface ReceivedUpload<Fields extends TObject> {
  upload: Upload;
  filename?: string;
  fields: Static<Fields>;
}

/**
 * Receives the request's one file; `schema` is what may stand beside it, as multipart fields or in the query.
 * @throws Problem when there is no file, several, or one that was refused, and when a field is not valid
 */
export async function receiveFile<Fields extends TObject>(
  request: FastifyRequest,
  schema: Fields,
): Promise<ReceivedUpload<Fields>> {
  const { files, fields } = await receiveFiles(request);
  try {
    const [file] = files;
    if (file === undefined) throw noFile();
    if (files.length > 1) throw new Problem('invalid_request', `Send one file; ${files.length} came.`);
    if ('problem' in file) throw file.problem;
    return { ...file, fields: parseFields(schema, { ...(request.query as object), ...fields }) };
  } catch (error) {
    await disposeAll(files);
    throw error;
  }
}

export const noFile = () =>
  new Problem(
    'empty_body',
    'No file came: send it as the multipart field "file", or as the body with its content type.',
  );

async function disposeAll(files: readonly ReceivedFile[]): Promise<void> {
  await Promise.all(files.map((file) => ('upload' in file ? file.upload.dispose() : undefined)));
}

async function receivePart(request: FastifyRequest, part: MultipartFile): Promise<ReceivedFile> {
  const file = await receiveOne(request, part.file);
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
