import { Type } from 'typebox';
import type { Hit, ItemInfo } from '../src/index/store.js';
import { MODALITIES } from '../src/modality.js';

/** The shapes that several routes share. */

export const ModalityName = Type.Enum([...MODALITIES], { description: 'What the vector was made from.' });

export const Counts = Type.Object(Object.fromEntries(MODALITIES.map((modality) => [modality, Type.Integer()])));

export const Vector = Type.Array(Type.Number(), { description: 'Unit vector: the inner product is the cosine.' });

export const Id = Type.String({
  minLength: 1,
  maxLength: 256,
  pattern: '^[^\\u0000-\\u001f]+$',
  description: 'Up to 256 characters, none of them a control character.',
});

export const MetadataObject = Type.Record(Type.String(), Type.Unknown(), { description: 'Any JSON object.' });

export const Text = Type.String({ minLength: 1, maxLength: 1_000_000 });

export const TopK = Type.Integer({ minimum: 1, maximum: 1000, default: 5, description: 'Results wanted.' });

export const StoredItem = Type.Object({
  id: Id,
  modal_type: ModalityName,
  metadata: MetadataObject,
  embedding: Type.Optional(Vector),
});

export const ScoredItem = Type.Object({
  id: Id,
  score: Type.Number({ description: 'Inner product in [-1, 1]; higher is closer.' }),
  modal_type: ModalityName,
  metadata: MetadataObject,
});

const toFloat = (x: number) => Math.round(x * 1e9) / 1e9;

/** A vector as JSON numbers: nine decimals keep every bit of a float32 that matters, and half the bytes. */
export const vectorToJson = (vector: Float32Array): number[] => Array.from(vector, toFloat);

export const itemToJson = ({ id, modality, metadata }: ItemInfo) => ({ id, modal_type: modality, metadata });

export const hitToJson = ({ score, ...item }: Hit) => ({ ...itemToJson(item), score: toFloat(score) });
