import { Problem } from '../../common/errors.js';

/** A media type with parameters is shorter than this; a comma further on is part of the data. */
const MAX_HEADER_CHARACTERS = 256;
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;

export const isDataUrl = (url: string): boolean => /^data:/i.test(url);

/**
 * The bytes of a `data:...;base64,...` URL (RFC 2397). What it says of its media type is not taken:
 * the content is recognised by itself.
 *
 * @param field where the URL stands in the request, for the error
 * @throws Problem `invalid_request`
 */
export function decodeDataUrl(url: string, field: string): Buffer {
  const comma = url.slice(0, MAX_HEADER_CHARACTERS).indexOf(',');
  if (comma < 0 || !/;base64$/i.test(url.slice(0, comma))) {
    throw invalid(field, 'must be a data: URL of the form data:image/png;base64,...');
  }
  const data = url.slice(comma + 1);
  if (!BASE64.test(data)) throw invalid(field, 'holds characters that are not base64');
  return Buffer.from(data, 'base64');
}

const invalid = (field: string, what: string) =>
  new Problem('invalid_request', `${field} ${what}.`, { in: 'body', field: field.replace(/^body\./, '') });
