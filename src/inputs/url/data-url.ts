import { invalidField } from '../../common/errors.js';

/** A media type with its parameters is shorter; a later comma belongs to the data. */
const MAX_HEADER_CHARACTERS = 256;
/** Where base64 begins. Recorders name codecs with a comma and no quotes (`codecs=vp8,opus`), so it need not be the first. */
const BASE64_MARK = /; *base64 *,/i;
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;
const WHITE_SPACE = /[\t\n\f\r ]+/g;

export const isDataUrl = (url: string): boolean => /^data:/i.test(url);

/**
 * The bytes of a `data:` URL (RFC 2397), read as browsers do: WHATWG Fetch, "data: URL processor" and Infra,
 * "forgiving-base64 decode". Its media type is ignored: the content decides.
 *
 * @param path of the URL in the request, for the error
 * @throws Problem `invalid_request`
 */
export function decodeDataUrl(url: string, path: string): Buffer {
  const header = url.slice(0, MAX_HEADER_CHARACTERS);
  const mark = BASE64_MARK.exec(header);
  const begin = mark === null ? header.indexOf(',') + 1 : mark.index + mark[0].length;
  if (begin === 0) throw invalidField(path, `${path} must be a data: URL of the form data:image/png;base64,...`);
  const fragment = url.indexOf('#', begin);
  const data = url.slice(begin, fragment === -1 ? undefined : fragment);
  if (mark === null) return Buffer.from(unescaped(data, path), 'latin1');
  // Almost every URL is plain base64, and may have megabytes.
  return Buffer.from(BASE64.test(data) ? data : tidied(data, path), 'base64');
}

/** Text whose characters are bytes, with each %hh as the byte that it means. */
function unescaped(text: string, path: string): string {
  if (Buffer.byteLength(text) > text.length)
    throw invalidField(path, `${path} has characters that a data: URL cannot have.`);
  return text.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

/** Base64 that was escaped, or broken into lines. */
function tidied(text: string, path: string): string {
  const data = unescaped(text, path).replace(WHITE_SPACE, '');
  if (!BASE64.test(data)) throw invalidField(path, `${path} has characters that are not base64.`);
  return data;
}
