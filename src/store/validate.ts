import { Problem } from '../common/errors.js';
import { MAX_ID_BYTES } from '../common/item-id.js';
import { MODALITIES, type Modality } from '../common/modality.js';
import { isUnitVector } from '../common/vector.js';
import { compileFilter } from './filter.js';
import type { Item, Metadata, Original } from './item.js';
import { LIMITS } from './limits.js';
import { joinOriginal } from './originals/source-ref.js';
import type { Filter, ListOptions, SearchOptions } from './vector-store.js';

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
  checkModality(item.modality);
  checkVector(item.vector, dim);
  return { id: item.id, modality: item.modality, metadata: encodeMetadata(item), vector: bytesOf(item.vector) };
}

/** @throws Problem `invalid_request` */
export function checkId(id: unknown): asserts id is string {
  if (!isStorableId(id)) throw invalid(`An id must be a string of 1 to ${MAX_ID_BYTES} bytes of well-formed Unicode.`);
}

/**
 * Whether a store can hold an id: 1 to `MAX_ID_BYTES` bytes of well-formed Unicode. That is more than requests may
 * use, because imports, and indexes of earlier versions, bring ids that no request could have created.
 */
function isStorableId(id: unknown): id is string {
  if (typeof id !== 'string') return false;
  const bytes = Buffer.from(id);
  // A lone surrogate has no UTF-8: it would be read back as another string.
  return bytes.length >= 1 && bytes.length <= MAX_ID_BYTES && bytes.toString() === id;
}

/** @throws Problem unless the vector has the length of the index and norm 1 */
export function checkVector(vector: Float32Array, dim: number): void {
  if (vector.length !== dim)
    throw new Problem('wrong_dimension', `The vector has ${vector.length} numbers; this index takes ${dim}.`, { dim });
  if (!isUnitVector(vector)) throw invalid('The vector must have norm 1; divide it by its norm.');
}

/** Bounds of metadata and filters that are independent of what they mean: later steps may recurse and serialize. */
export const JSON_BOUNDS = { depth: LIMITS.jsonDepth, values: LIMITS.metadataBytes } as const;
/** A bound that a JSON value exceeds, or a name that is not one of a field: it would replace an object's prototype. */
export type JsonExcess = keyof typeof JSON_BOUNDS | 'prototype';

/** How a JSON value of any shape exceeds what later steps can take; undefined when it does not. It does not recurse. */
export function excessOf(value: unknown): JsonExcess | undefined {
  let values = 1;
  let level = [value];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > JSON_BOUNDS.depth) return 'depth';
    const next: unknown[] = [];
    for (const one of level) {
      if (typeof one !== 'object' || one === null) continue;
      if (Object.hasOwn(one, '__proto__')) return 'prototype';
      for (const inner of Object.values(one)) {
        if (++values > JSON_BOUNDS.values) return 'values';
        if (typeof inner === 'object') next.push(inner);
      }
    }
    level = next;
  }
  return undefined;
}

function encodeMetadata({ id, metadata, original }: Item): Uint8Array {
  if (typeof metadata !== 'object' || metadata === null || Array.isArray(metadata))
    throw invalid(`The metadata of ${JSON.stringify(id)} must be an object.`);
  if (excessOf(metadata) === 'depth')
    throw invalid(`The metadata of ${JSON.stringify(id)} nests deeper than ${JSON_BOUNDS.depth} levels.`);
  const bytes = Buffer.from(stringify(metadata, original, id));
  if (bytes.length > LIMITS.metadataBytes)
    throw new Problem(
      'too_large',
      `The metadata of ${JSON.stringify(id)} has ${bytes.length} bytes as JSON; ${LIMITS.metadataBytes} are allowed.`,
    );
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

/** @throws Problem `invalid_request` */
export function checkSearch({ k, modality, filter }: SearchOptions): void {
  if (!isCount(k, LIMITS.k)) throw invalid(`k must be a whole number from 1 to ${LIMITS.k}.`);
  checkSelection(modality, filter);
}

/** @throws Problem `invalid_request` */
export function checkList({ limit, modality, filter }: ListOptions): void {
  if (!isCount(limit, LIMITS.pageItems)) throw invalid(`limit must be a whole number from 1 to ${LIMITS.pageItems}.`);
  checkSelection(modality, filter);
}

/** Refuses a filter without conditions, which would delete everything. */
export function checkDeletion(filter: Filter): void {
  compileFilter(filter);
  if (Object.keys(filter).length === 0) throw invalid('A filter to delete by needs at least one condition.');
}

function checkSelection(modality: unknown, filter: Filter | undefined): void {
  if (modality !== undefined) checkModality(modality);
  if (filter !== undefined) compileFilter(filter);
}

function checkModality(modality: unknown): void {
  if (!(MODALITIES as readonly unknown[]).includes(modality))
    throw invalid(`The modality must be one of ${MODALITIES.join(', ')}.`);
}

const isCount = (value: number, max: number): boolean => Number.isInteger(value) && value >= 1 && value <= max;

const bytesOf = (vector: Float32Array): Uint8Array =>
  new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength);

const invalid = (detail: string) => new Problem('invalid_request', detail);
