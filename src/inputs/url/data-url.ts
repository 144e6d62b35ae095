import { invalidField } from '../../common/errors.js';

/** A media type with its parameters is shorter; a later comma belongs to the data. */
const MAX_HEADER_CHARACTERS = 256;
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;

export const isDataUrl = (url: string): boolean => /^data:/i.test(url);

/**
 * The bytes of a `data:...;base64,...` URL (RFC 2397). Its media type is ignored: the content decides.
 *
 * @param path of the URL in the request, for the error
 * @throws Problem `invalid_request`
 */
export function decodeDataUrl(url: string, path: string): Buffer {
  const comma = url.slice(0, MAX_HEADER_CHARACTERS).indexOf(',');
  if (comma < 0 || !/;base64$/i.test(url.slice(0, comma))) {
    throw invalidField(path, `${path} must be a data: URL of the form data:image/png;base64,...`);
  }
  const data = url.slice(comma + 1);
  if (!BASE64.test(data)) throw invalidField(path, `${path} has characters that are not base64.`);
  return Buffer.from(data, 'base64');
}
