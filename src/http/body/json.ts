import { isUtf8 } from 'node:buffer';
import { Problem } from '../../common/errors.js';

/** JSON of at most so many values and bytes takes some 10 ms to parse, and is parsed on the main thread. */
export const MAX_INLINE_VALUES = 50_000;
/** Text that is not ASCII takes 15 ms a megabyte to decode alone. */
const MAX_INLINE_BYTES = 1_000_000;

/** Each value but the first follows one of the first three; an escape costs as much as a value. */
const COUNTED = [...'[{,\\'].map((character) => character.charCodeAt(0));

/**
 * Whether JSON may have more than `limit` values and escapes, by the bytes that come with them. Strings, which are
 * cheap to parse, may make the count too high, never too low.
 */
export function hasMoreValues(bytes: Uint8Array, limit: number): boolean {
  let count = 0;
  for (const byte of COUNTED)
    for (let i = bytes.indexOf(byte); i !== -1; i = bytes.indexOf(byte, i + 1)) if (++count >= limit) return true;
  return false;
}

/** Whether JSON is parsed soon enough to hold the event loop meanwhile. */
export const isParsedAtOnce = (bytes: Uint8Array): boolean =>
  bytes.length <= MAX_INLINE_BYTES && !hasMoreValues(bytes, MAX_INLINE_VALUES);

/**
 * Parses JSON text.
 * @throws Problem `invalid_json` when it is not UTF-8, or not JSON
 */
export function parseJson(bytes: Buffer): unknown {
  if (!isUtf8(bytes)) throw new Problem('invalid_json', 'The JSON must be UTF-8.');
  try {
    return JSON.parse(bytes.toString());
  } catch (error) {
    throw new Problem('invalid_json', 'The body is not valid JSON.', {}, { cause: error });
  }
}
