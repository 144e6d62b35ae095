import { Readable } from 'node:stream';
import type { Multipart, MultipartFile } from '@fastify/multipart';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { clientClosed, Problem } from '../../common/errors.js';
import { ByteBudget } from '../../inputs/byte-budget.js';
import type { InputPart } from '../../inputs/part.js';
import { receive, type Upload } from '../../media/upload.js';

/** One file of a request: received, or refused with the reason. */
export type ReceivedFile = { filename?: string } & ({ upload: Upload } | { problem: Problem });

export interface Received {
  files: ReceivedFile[];
  /** The fields of a multipart body, by name. */
  fields: Record<string, string>;
  /** Files and fields named "text", in the order they came, those that were refused too. */
  entries: (ReceivedFile | { text: string })[];
  /** What is to be embedded, in the order it came: the files that were received, and fields named "text". */
  parts: InputPart[];
}

/** The field of a multipart body whose every value is a part to embed. */
const TEXT_FIELD = 'text';

/** Content types whose body is one file; the last is what `curl --data-binary` says when it is told nothing. */
const RAW_BODY = /^(?:(?:image|video)\/|application\/(?:octet-stream|x-www-form-urlencoded)\b)/;

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
  const received: Received = { files: [], entries: [], fields: {}, parts: [] };
  if (!request.isMultipart()) {
    if (request.body instanceof Readable)
      addFile(received, await receiveOne(request, request.body, Number(request.headers['content-length'] ?? 0)));
    return received;
  }
  const budget = new ByteBudget(request.server.service.config.MAX_UPLOAD_MB * 1e6);
  try {
    for await (const part of partsOf(request)) {
      if (part.type === 'file') budget.spend(addFile(received, await receivePart(request, part)));
      else if (part.fieldname === TEXT_FIELD) addText(received, String(part.value));
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

function addText({ entries, parts }: Received, text: string): void {
  entries.push({ text });
  parts.push({ text });
}

/** @returns the bytes of the file */
function addFile({ files, entries, parts }: Received, file: ReceivedFile): number {
  files.push(file);
  entries.push(file);
  if (!('upload' in file)) return 0;
  parts.push({ upload: file.upload });
  return file.upload.size;
}

/** Gives back what the files hold. */
export async function disposeAll(files: readonly ReceivedFile[]): Promise<void> {
  await Promise.all(files.map((file) => ('upload' in file ? file.upload.dispose() : undefined)));
}

async function receivePart(request: FastifyRequest, part: MultipartFile): Promise<ReceivedFile> {
  const file = await receiveOne(request, part.file).catch((error: unknown) => {
    throw asFormProblem(error);
  });
  return part.filename ? { ...file, filename: part.filename } : file;
}

async function receiveOne(request: FastifyRequest, stream: Readable, expectedBytes = 0): Promise<ReceivedFile> {
  const { config, spoolFolder } = request.server.service;
  const start = performance.now();
  try {
    const options = {
      maxBytes: config.MAX_UPLOAD_MB * 1e6,
      expectedBytes,
      folder: spoolFolder,
      signal: request.clientSignal,
    };
    const upload = await receive(stream, options);
    request.record('receive', upload.modality, (performance.now() - start) / 1000);
    return { upload };
  } catch (error) {
    if (error instanceof Problem) return { problem: error };
    throw error;
  }
}
