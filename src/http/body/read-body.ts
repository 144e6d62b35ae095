import { Readable } from 'node:stream';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Static, TObject, TSchema } from 'typebox';
import { clientClosed, Problem } from '../../common/errors.js';
import type { InputPart } from '../../inputs/part.js';
import { receive, type Upload } from '../../media/upload.js';
import { MAX_FORM_FIELD_BYTES, MAX_PARTS, maxBodyBytes } from '../request-limits.js';
import { parseFields } from '../validation/validator.js';

/** A file or a text of a form, or a file that was refused. */
export type FormEntry = { text: string } | FileEntry;
export type FileEntry = { filename?: string } & ({ upload: Upload } | { problem: Problem });

export interface Form<Fields extends TObject> {
  /** Files and fields named "text", in their order. The files belong to the scope of the request. */
  entries: FormEntry[];
  /** The other fields and those of the query, checked. */
  fields: Static<Fields>;
}

/** The field of a form whose every value is a part to embed. */
const TEXT_FIELD = 'text';

/** Content types whose body is one file; `curl --data-binary` sends the last one by default. */
const RAW_BODY = /^(?:(?:image|video)\/|application\/(?:octet-stream|x-www-form-urlencoded)\b)/;

/** Lets the routes of `app` take a file as the raw body. */
export function acceptRawBodies(app: FastifyInstance): void {
  app.addContentTypeParser(RAW_BODY, (_request, payload, done) => done(null, payload));
}

/** Whether the body has files: a multipart form, or one raw file. */
export const hasFiles = (request: FastifyRequest): boolean => request.isMultipart() || request.body instanceof Readable;

/**
 * The JSON body, which the route has checked against its schema.
 * @throws Problem `empty_body` when there is none
 */
export function readJson<Schema extends TSchema>({ body }: FastifyRequest): Static<Schema> {
  if (body === undefined || body === null) throw new Problem('empty_body', 'The body is empty: send JSON, or a file.');
  return body as Static<Schema>;
}

/** The model that the query names; a body may name one too, and then it counts. */
export const modelOfQuery = ({ query }: FastifyRequest): string | undefined => (query as { model?: string }).model;

/**
 * Receives a form, or one raw file, and checks its fields. A refused file does not stop the others.
 * @param schema of the fields, which may also be in the query
 * @throws Problem when the form is malformed or larger than allowed, a field is invalid, or the client has disconnected
 */
export async function readForm<Fields extends TObject>(request: FastifyRequest, schema: Fields): Promise<Form<Fields>> {
  const names = Object.keys(schema.properties);
  const { entries, fields } = request.isMultipart() ? await receiveForm(request, names) : await receiveRawFile(request);
  return { entries, fields: parseFields(schema, { ...(request.query as object), ...fields }) };
}

/**
 * The entries of a form as one input, with the name of its first named file. Texts that were left empty are not parts.
 * @throws Problem when there is no entry, too many, or a refused one
 */
export function oneInput(entries: readonly FormEntry[]): { parts: InputPart[]; filename: string | undefined } {
  const parts = entries.filter((entry) => !('text' in entry) || entry.text !== '').map(toPart);
  if (parts.length === 0) throw noFile();
  if (parts.length > MAX_PARTS) {
    const detail = `One input has at most ${MAX_PARTS} parts; received ${parts.length}.`;
    throw new Problem('invalid_request', detail, { limit_parts: MAX_PARTS });
  }
  return { parts, filename: entries.map(filenameOf).find((name) => name !== undefined) };
}

/** @throws Problem of a refused file */
function toPart(entry: FormEntry): InputPart {
  if ('problem' in entry) throw entry.problem;
  return 'text' in entry ? { text: entry.text } : { upload: entry.upload };
}

export const filenameOf = (entry: FormEntry): string | undefined => ('text' in entry ? undefined : entry.filename);

export const noFile = () =>
  new Problem(
    'empty_body',
    'There is no file: send it as the multipart field "file", or as the body with its content type.',
  );

interface Received {
  entries: FormEntry[];
  fields: Record<string, string>;
}

/** Types of which a part of a form is a field where it has the name of one, though it may be sent as a file. */
const FIELD_TYPE = /^(?:application\/json|text\/)/;

/** A part of a form as it comes: one with a type of its own is not parsed for us, so that text stays as it was sent. */
const isPartAFile = (_name: string, type: string, filename: string | undefined): boolean =>
  filename !== undefined || type === 'application/octet-stream' || type.startsWith('application/json');

async function receiveForm(request: FastifyRequest, fieldNames: readonly string[]): Promise<Received> {
  const received: Received = { entries: [], fields: {} };
  const isField = (name: string) => name === TEXT_FIELD || fieldNames.includes(name);
  const addField = (name: string, value: string) => {
    if (name === TEXT_FIELD) received.entries.push({ text: value });
    // A browser sends every field of a form: one that was left empty counts as absent.
    else if (value !== '') received.fields[name] = value;
  };
  try {
    const limits = { fileSize: maxBodyBytes(request) };
    for await (const part of request.parts({ isPartAFile, limits } as object)) {
      if (part.type === 'file' && FIELD_TYPE.test(part.mimetype) && (isField(part.fieldname) || !part.filename))
        addField(part.fieldname, await receiveField(part.fieldname, part.file));
      else if (part.type === 'file') {
        const file = await receiveFile(request, part.file);
        if ('upload' in file) request.scope.uploads.spendOn(file.upload);
        received.entries.push(part.filename ? { ...file, filename: part.filename } : file);
      } else if (part.valueTruncated) throw fieldTooLarge(part.fieldname);
      else addField(part.fieldname, String(part.value));
    }
    return received;
  } catch (error) {
    // The rest of the body must flow, or the connection could neither be reused nor end.
    request.raw.unpipe().resume();
    throw request.scope.signal.aborted ? clientClosed() : asFormProblem(error);
  }
}

/** A field that came as a file: its text. */
async function receiveField(name: string, stream: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_FORM_FIELD_BYTES) throw fieldTooLarge(name);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

const fieldTooLarge = (name: string) =>
  new Problem('too_large', `The field "${name}" has more than the ${MAX_FORM_FIELD_BYTES / 1e6} MB allowed.`, {
    limit_bytes: MAX_FORM_FIELD_BYTES,
  });

async function receiveRawFile(request: FastifyRequest): Promise<Received> {
  if (!(request.body instanceof Readable)) return { entries: [], fields: {} };
  const length = Number(request.headers['content-length'] ?? 0);
  return { entries: [await receiveFile(request, request.body, length)], fields: {} };
}

async function receiveFile(request: FastifyRequest, stream: Readable, expectedBytes = 0): Promise<FileEntry> {
  const { config, spoolFolder } = request.server.service;
  const { uploads, signal, record } = request.scope;
  const start = performance.now();
  try {
    const { maxStoredBytes } = uploads;
    const options = {
      maxBytes: config.MAX_UPLOAD_MB * 1e6,
      maxStoredBytes,
      expectedBytes,
      folder: spoolFolder,
      signal,
    };
    const upload = uploads.add(await receive(stream, options));
    record('receive', upload.modality, (performance.now() - start) / 1000, '');
    return { upload };
  } catch (error) {
    if (error instanceof Problem) return { problem: error };
    throw error;
  }
}

/** The errors of the multipart parser, which alone have no code, are the client's. */
function asFormProblem(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof Problem || 'code' in error) return error;
  return new Problem('invalid_request', `The multipart body is not valid: ${error.message}.`, { in: 'body' });
}
