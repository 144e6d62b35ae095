import { type Static, Type } from 'typebox';
import { ID_PATTERN, MAX_ID_CHARACTERS } from '../../common/item-id.js';
import { forEachModality, MODALITIES } from '../../common/modality.js';
import { ROLES } from '../../inference/encoder.js';
import type { Found } from '../../search/search.js';
import type { ItemInfo } from '../../store/vector-store.js';
import { type limitsOf, MAX_RESULTS, MAX_TEXT_CHARACTERS } from '../request-limits.js';

/** The shapes that several routes share. */

export const ModalityName = Type.Enum([...MODALITIES], { description: 'What the vector was made from.' });

export const RoleName = Type.Enum([...ROLES], {
  description: 'What the vector is for, where the model tells questions from documents; a document if nothing is said.',
});

export const Counts = Type.Object(forEachModality(() => Type.Integer()));

export const Vector = Type.Array(Type.Number(), { description: 'Unit vector: the inner product is the cosine.' });

export const Id = Type.String({
  minLength: 1,
  maxLength: MAX_ID_CHARACTERS,
  pattern: ID_PATTERN,
  description: `Up to ${MAX_ID_CHARACTERS} characters, none of them a control character.`,
});

export const AnyObject = Type.Unsafe<Record<string, unknown>>({ type: 'object', additionalProperties: true });

export const MetadataObject = Type.Unsafe<Record<string, unknown>>({
  type: 'object',
  additionalProperties: true,
  description: 'Any JSON object.',
});

export const Filter = Type.Unsafe<Record<string, unknown>>({
  type: 'object',
  additionalProperties: true,
  description:
    'Only items whose metadata match: {"colour": "red"}, {"year": {"$gte": 2020}}, {"tag": {"$in": ["a", "b"]}}, $ne, $nin, $exists, $and, $or, $not.',
});

export const Text = Type.String({ minLength: 1, maxLength: MAX_TEXT_CHARACTERS });

export const TopK = Type.Integer({ minimum: 1, maximum: MAX_RESULTS, default: 5, description: 'Results wanted.' });

export const StoredItem = Type.Object(
  {
    id: Id,
    modal_type: ModalityName,
    metadata: MetadataObject,
    embedding: Type.Optional(Vector),
  },
  { title: 'Item', description: 'What is stored of one item.' },
);

export const ScoredItem = Type.Object(
  {
    id: Id,
    score: Type.Number({ description: 'Inner product in [-1, 1]; higher is closer.' }),
    modal_type: ModalityName,
    metadata: Type.Optional(MetadataObject),
    embedding: Type.Optional(Vector),
  },
  { title: 'Hit' },
);

const INCLUDED = ['metadata', 'embedding'] as const;
type Included = (typeof INCLUDED)[number];

export const Included = Type.Array(Type.Enum([...INCLUDED]), {
  uniqueItems: true,
  maxItems: INCLUDED.length,
  default: ['metadata'],
  description: 'What each result brings besides its id, modality and score.',
});

/** A vector as it comes in: any length and norm, so that the error can say what is wrong with it. */
export const Numbers = Type.Array(Type.Number(), {
  maxItems: 65_536,
  description: 'A ready vector of the length of this model; it is scaled to norm 1.',
});

const limit = (description: string) => Type.Integer({ description });

/** What a request can meet; each is a setting, or the model's. */
export const Limits = Type.Object(
  {
    text_characters: limit('Characters of one text.'),
    text_tokens: limit('Tokens of text of one input; longer text is cut, and the reply says so.'),
    sequence_tokens: limit('Tokens of one input: text and patches of its pictures.'),
    image_pixels: limit('Pixels of one picture.'),
    video_seconds: limit('Seconds of one clip.'),
    video_frames: limit('Frames the model sees of one clip, evenly over its length.'),
    video_fps: Type.Number({ description: 'Frames sampled per second of a clip, before that limit.' }),
    decode_seconds: limit('Seconds that decoding one file may take.'),
    upload_bytes: limit('Bytes of one file, and of all files of one request.'),
    json_bytes: limit('Bytes of one JSON body.'),
    parts_per_input: limit('Parts of one mixed input.'),
    inputs_per_request: limit('Texts of one request.'),
    items_per_request: limit('Items that one request may store.'),
    openai_inputs_per_request: limit('Inputs of one request to /v1/embeddings.'),
    results_per_search: limit('Results of one search, those passed over counted.'),
    metadata_bytes: limit('Bytes of the metadata of one item, as JSON.'),
    batch_size: limit('Inputs that the model takes in one pass.'),
    batch_tokens: limit('Tokens of one pass, padding counted.'),
    queue: limit('Requests under way, and inputs waiting for the model; beyond it new ones get 503.'),
  } satisfies Record<keyof ReturnType<typeof limitsOf>, unknown>,
  { title: 'Limits' },
);

const toFloat = (x: number) => Math.round(x * 1e9) / 1e9;

/** A vector as JSON numbers: nine decimals keep every bit of a float32 that matters, and half the bytes. */
export const vectorToJson = (vector: Float32Array): number[] => Array.from(vector, toFloat);

export const itemToJson = ({ id, modality, metadata }: ItemInfo) => ({ id, modal_type: modality, metadata });

/** A search result with what was asked to be included. */
export function foundToJson({ score, vector, id, modality, metadata }: Found, included: readonly Included[]) {
  const json: Static<typeof ScoredItem> = {
    id,
    // In float32, a unit vector may meet itself a hair above 1.
    score: toFloat(Math.min(1, Math.max(-1, score))),
    modal_type: modality,
  };
  if (included.includes('metadata')) json.metadata = metadata;
  if (vector !== undefined) json.embedding = vectorToJson(vector);
  return json;
}
