import { Problem } from '../common/errors.js';
import { MODALITIES, type Modality } from '../common/modality.js';
import { compileFilter } from './filter.js';
import type { Item, Metadata, Original } from './item.js';
import { LIMITS } from './limits.js';
import { joinOriginal } from './originals/source-ref.js';
import type { Filter, ListOptions, SearchOptions } from './vector-store.js';

/** A unit vector computed in float32 is this close to norm 1, and anything else is a mistake. */
const NORM_TOLERANCE = 1e-3;

/** An item as bytes, checked: what a driver stores. */
export interface EncodedItem {
  id: string;
  modality: Modality;
  /** The metadata and the original as UTF-8 JSON. */
  metadata: Uint8Array;
  /** float32, little-endian, `4 * dim` bytes. */
  vector: Uint8Array;
}

/**
 * Checks and encodes an item.
 * @throws Problem `invalid_request`, `wrong_dimension`, `too_large`
 */
export function encodeItem(item: Item, dim: number): EncodedItem {
  checkId(item.id);
  if (!MODALITIES.includes(item.modality)) throw invalid(`The modality must be one of ${MODALITIES.join(', ')}.`);
  checkVector(item.vector, dim);
  return { id: item.id, modality: item.modality, metadata: encodeMetadata(item), vector: bytesOf(item.vector) };
}

export function checkId(id: unknown): asserts id is string {
  // Half a surrogate pair has no UTF-8: it would come back as another string.
  const bytes = typeof id === 'string' ? Buffer.from(id) : Buffer.alloc(0);
  if (bytes.length < 1 || bytes.length > LIMITS.idBytes || bytes.toString() !== id)
    throw invalid(`An id must be a string of 1 to ${LIMITS.idBytes} bytes of well-formed Unicode.`);
}

/** @throws Problem unless the vector has the length of the index and norm 1 */
export function checkVector(vector: Float32Array, dim: number): void {
  if (vector.length !== dim)
    throw new Problem('wrong_dimension', `The vector has ${vector.length} numbers; this index takes ${dim}.`, { dim });
  let squares = 0;
  for (const value of vector) squares += value * value;
  // Also false for NaN.
  if (!(Math.abs(Math.sqrt(squares) - 1) <= NORM_TOLERANCE))
    throw invalid('The vector must have norm 1; divide it by its length.');
}

function encodeMetadata({ id, metadata, original }: Item): Uint8Array {
  if (typeof metadata !== 'object' || metadata === null || Array.isArray(metadata))
    throw invalid(`The metadata of ${JSON.stringify(id)} must be an object.`);
  const bytes = Buffer.from(stringify(metadata, original, id));
  if (bytes.length > LIMITS.metadataBytes)
    throw new Problem('too_large', `The metadata of one item may have ${LIMITS.metadataBytes} bytes as JSON.`);
  return bytes;
}

function stringify(metadata: Metadata, original: Original | undefined, id: string): string {
  try {
    return joinOriginal(metadata, original);
  } catch (error) {
    if (error instanceof Problem) throw error;
    throw new Problem('invalid_request', `The metadata of ${JSON.stringify(id)} is not JSON.`, {}, { cause: error });
  }
}

export function checkSearch({ k, modality, filter }: SearchOptions): void {
  if (!isCount(k, LIMITS.k)) throw invalid(`k must be a whole number from 1 to ${LIMITS.k}.`);
  checkSelection(modality, filter);
}

export function checkList({ limit, modality, filter }: ListOptions): void {
  if (!isCount(limit, LIMITS.pageItems)) throw invalid(`limit must be a whole number from 1 to ${LIMITS.pageItems}.`);
  checkSelection(modality, filter);
}

/** A filter to delete by says something: `{}` would delete everything. */
export function checkDeletion(filter: Filter): void {
  compileFilter(filter);
  if (Object.keys(filter).length === 0) throw invalid('A filter to delete by needs at least one condition.');
}

function checkSelection(modality: unknown, filter: Filter | undefined): void {
  if (modality !== undefined && !(MODALITIES as readonly unknown[]).includes(modality))
    throw invalid(`The modality must be one of ${MODALITIES.join(', ')}.`);
  if (filter !== undefined) compileFilter(filter);
}

const isCount = (value: number, most: number): boolean => Number.isInteger(value) && value >= 1 && value <= most;

const bytesOf = (vector: Float32Array): Uint8Array =>
  new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength);

const invalid = (detail: string) => new Problem('invalid_request', detail);
