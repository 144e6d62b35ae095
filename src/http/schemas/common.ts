import { type Static, type TSchema, Type } from 'typebox';
import { ID_PATTERN, MAX_ID_CHARACTERS } from '../../common/item-id.js';
import { forEachModality, MODALITIES } from '../../common/modality.js';
import { ROLES } from '../../inference/encoder.js';
import { LIMITS } from '../../store/limits.js';
import { type limitsOf, MAX_TEXT_CHARACTERS } from '../request-limits.js';

/** Schemas that several routes use. */

/** The keyword that bounds an object of any shape; the document says it in words. */
export const BOUNDED = 'x-bounded';

/** The keyword of a list whose entries are checked one by one; for readers of the document it is `items`. */
export const EACH = 'x-each';

/** A list of which a wrong entry is refused alone: a `Refused` takes its place (`entriesOf`), and the others are done. */
export const eachOf = <Entry extends TSchema>(entry: Entry, bounds: { maxItems: number; title?: string }) =>
  Type.Unsafe<Static<Entry>[]>({ type: 'array', [EACH]: entry, minItems: 1, ...bounds });

export const ModalityName = Type.Enum([...MODALITIES], { description: 'What the vector was made from.' });

export const RoleName = Type.Enum([...ROLES], {
  description: 'What the vector is for, where the model distinguishes queries from documents. Default: document.',
});

export const ModelName = Type.String({
  minLength: 1,
  maxLength: 256,
  description: 'A name that /v1/models lists. Without it the default model answers.',
});
/** The field of a body, or of the query, that selects a model. */
export const MODEL = { model: Type.Optional(ModelName) };
/** A query that selects a model, where the body may do so too. */
export const ModelQuery = Type.Object(MODEL);

export const Counts = Type.Object(forEachModality(() => Type.Integer()));

export const Vector = Type.Array(Type.Number(), { description: 'Unit vector: the inner product is the cosine.' });

export const Id = Type.String({
  minLength: 1,
  maxLength: MAX_ID_CHARACTERS,
  pattern: ID_PATTERN,
  description: `Up to ${MAX_ID_CHARACTERS} characters, none of them a control character.`,
});

export const AnyObject = Type.Unsafe<Record<string, unknown>>({ type: 'object', additionalProperties: true });

/** What stands for an input that failed, in a reply to several. */
export const ErrorEntry = Type.Object({ error: AnyObject }, { description: 'A problem document.' });

export const MetadataObject = Type.Unsafe<Record<string, unknown>>({
  type: 'object',
  additionalProperties: true,
  [BOUNDED]: true,
  description: `Any JSON object of at most ${LIMITS.jsonDepth} levels and ${LIMITS.metadataBytes} bytes.`,
});

export const Filter = Type.Unsafe<Record<string, unknown>>({
  type: 'object',
  additionalProperties: true,
  [BOUNDED]: true,
  description:
    'Only items whose metadata match: {"colour": "red"}, {"year": {"$gte": 2020}}, {"tag": {"$in": ["a", "b"]}}, {"$geo": {"south": 38, "west": -10, "north": 39, "east": -9}}, $ne, $nin, $exists, $and, $or, $not.',
});

export const Text = Type.String({ minLength: 1, maxLength: MAX_TEXT_CHARACTERS });

/** A vector as received: any length and norm, so that the error can say what is wrong with it. */
export const Numbers = Type.Array(Type.Number(), {
  maxItems: LIMITS.dim,
  description: "A ready vector of the model's length; it is scaled to norm 1.",
});

const limit = (description: string) => Type.Integer({ description });

/** Every limit of a request; each is a setting, or the model's. */
export const Limits = Type.Object(
  {
    text_characters: limit('Characters of one text.'),
    text_tokens: limit('Text tokens of one input; longer text is cut, and the reply says so.'),
    sequence_tokens: limit('Tokens of one input: text and image patches.'),
    image_pixels: limit('Pixels of one image.'),
    video_seconds: limit('Seconds of one video.'),
    video_frames: limit('Frames of one video that the model reads, evenly over its length.'),
    video_fps: Type.Number({ description: 'Frames sampled per second of a video, before that limit.' }),
    decode_seconds: limit('Seconds that decoding one file may take.'),
    upload_bytes: limit('Bytes of one file, and of all files of one request.'),
    stored_video_bytes: limit('Bytes of a video that is sent to be stored (POST /items).'),
    stored_video_seconds: limit('Length of a video that is stored.'),
    json_bytes: limit('Bytes of one JSON body.'),
    parts_per_input: limit('Parts of one mixed input.'),
    inputs_per_request: limit('Texts of one request.'),
    items_per_request: limit('Items that one request may store.'),
    openai_inputs_per_request: limit('Inputs of one request to /v1/embeddings.'),
    results_per_search: limit('Results of one search, skipped ones included.'),
    metadata_bytes: limit('Bytes of the metadata of one item, as JSON.'),
    batch_size: limit('Inputs of one forward pass of the model.'),
    batch_tokens: limit('Tokens of one forward pass, padding included.'),
    queue: limit('Requests under way, and inputs in the queue of the model; beyond it the reply is 503.'),
  } satisfies Record<keyof ReturnType<typeof limitsOf>, unknown>,
  { title: 'Limits' },
);
