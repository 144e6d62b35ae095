import type { FastifyRequest } from 'fastify';
import type { Static, TObject, TSchema } from 'typebox';
import { Problem } from '../../common/errors.js';
import { FORWARDED_HEADER } from '../../common/headers.js';
import type { EmbedOptions } from '../../embedding/embedder.js';
import type { Role } from '../../inference/encoder.js';
import { ByteBudget } from '../../inputs/byte-budget.js';
import type { InputPart } from '../../inputs/part.js';
import type { OpenOptions } from '../../inputs/url/media-url.js';
import type { ServedModel } from '../../serving/served-model.js';
import { chosenModel, type MODEL } from '../model-selection.js';
import { MAX_PARTS } from '../request-limits.js';
import { parseFields } from '../validation/validator.js';
import { disposeAll, type Received, type ReceivedFile, receiveFiles } from './multipart.js';

/** How what a model computes for this request is cancelled and timed. */
export const embedOptions = (
  { clientSignal, record, headers }: FastifyRequest,
  { id }: ServedModel,
  role?: Role,
): EmbedOptions => ({
  signal: clientSignal,
  record: (stage, modality, seconds) => record(stage, modality, seconds, id),
  role,
  forwarded: headers[FORWARDED_HEADER] !== undefined,
});

/** How what stands in the JSON body of this request is opened. */
export const openOptions = ({ clientSignal, server }: FastifyRequest): OpenOptions => ({
  field: 'body',
  signal: clientSignal,
  budget: new ByteBudget(server.service.config.MAX_UPLOAD_MB * 1e6),
});

/**
 * The JSON body, which was checked against its schema by the route.
 * @throws Problem `empty_body` when none was sent: then there was nothing to check
 */
export function jsonBody<Schema extends TSchema>({ body }: FastifyRequest): Static<Schema> {
  if (body === undefined || body === null) throw new Problem('empty_body', 'No body came: send JSON, or a file.');
  return body as Static<Schema>;
}

/** What a request brings to be embedded, with what stands beside it, checked. */
export interface ReceivedInput<Fields extends TObject<typeof MODEL>> {
  /** Files and fields named "text", in the order they came; the caller owns the uploads. */
  parts: InputPart[];
  /** Name of the first file that has one. */
  filename?: string;
  fields: Static<Fields>;
  /** The model they choose. */
  model: ServedModel;
}

/**
 * Receives files and texts that are one input; `schema` is what may stand beside them, as multipart fields or
 * in the query.
 * @throws Problem when there is no part, too many, or one that was refused, when a field is not valid, and when
 *   there is no such model
 */
export async function receiveInput<Fields extends TObject<typeof MODEL>>(
  request: FastifyRequest,
  schema: Fields,
): Promise<ReceivedInput<Fields>> {
  const received = await receiveFiles(request);
  try {
    const input = oneInput(received);
    const checked = parseFields(schema, { ...(request.query as object), ...received.fields });
    return { ...input, fields: checked, model: chosenModel(request, checked.model) };
  } catch (error) {
    await disposeAll(received.files);
    throw error;
  }
}

/** An input with the name of its first file that has one. */
type NamedInput = Pick<ReceivedInput<TObject<typeof MODEL>>, 'parts' | 'filename'>;

function oneInput({ files, parts }: Received): NamedInput {
  const refused = files.find((file) => 'problem' in file);
  if (refused !== undefined) throw refused.problem;
  if (parts.length === 0) throw noFile();
  if (parts.length > MAX_PARTS) throw tooManyParts(parts.length);
  const filename = files.find((file) => file.filename !== undefined)?.filename;
  return { parts, ...(filename === undefined ? {} : { filename }) };
}

/**
 * Receives files and texts that are one input, or, where `countOf` tells a number from the fields, so many
 * inputs of one part. The caller owns the uploads.
 * @throws Problem as `receiveInput` does, but for one of many that was refused: that has its own problem
 */
export async function receiveInputs<Fields extends TObject<typeof MODEL>>(
  request: FastifyRequest,
  schema: Fields,
  countOf: (fields: Static<Fields>) => number | undefined,
): Promise<{ inputs: (NamedInput | { problem: Problem })[]; fields: Static<Fields>; model: ServedModel }> {
  const received = await receiveFiles(request);
  try {
    const fields = parseFields(schema, { ...(request.query as object), ...received.fields });
    const count = countOf(fields);
    const inputs = count === undefined ? [oneInput(received)] : received.entries.map(toInput);
    if (inputs.length !== (count ?? 1)) throw otherNumber(count as number, inputs.length);
    return { inputs, fields, model: chosenModel(request, fields.model) };
  } catch (error) {
    await disposeAll(received.files);
    throw error;
  }
}

function toInput(entry: Received['entries'][number]): NamedInput | { problem: Problem } {
  if ('text' in entry) return { parts: [entry] };
  if ('problem' in entry) return { problem: entry.problem };
  return { parts: [{ upload: entry.upload }], ...(entry.filename === undefined ? {} : { filename: entry.filename }) };
}

const otherNumber = (said: number, came: number) =>
  new Problem('invalid_request', `body.items is about ${said} files and texts; ${came} came.`, {
    in: 'body',
    field: 'items',
  });

/**
 * Receives files that are an input each; `schema` is what may stand beside them. The caller owns the uploads.
 * @throws Problem when a field is not valid, and when there is no such model
 */
export async function receiveEach<Fields extends TObject<typeof MODEL>>(
  request: FastifyRequest,
  schema: Fields,
): Promise<{ files: ReceivedFile[]; fields: Static<Fields>; model: ServedModel }> {
  const { files, fields } = await receiveFiles(request);
  try {
    const checked = parseFields(schema, { ...(request.query as object), ...fields });
    return { files, fields: checked, model: chosenModel(request, checked.model) };
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
