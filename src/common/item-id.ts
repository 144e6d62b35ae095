/** The rule for the ids of items, in one place: what requests may use, and what stores can hold. */

/** Characters of an id, counted as JSON Schema counts `maxLength`: Unicode code points. */
export const MAX_ID_CHARACTERS = 256;

/** Requests may not use control characters. */
export const ID_PATTERN = '^[^\\u0000-\\u001f]+$';

/** A code point takes at most 4 bytes of UTF-8, so stores can hold every id that a request may use. */
export const MAX_ID_BYTES = 4 * MAX_ID_CHARACTERS;
