import { Problem } from '../../common/errors.js';
import type { Metadata, Original } from '../item.js';

/**
 * The original is the first field of the stored metadata, under a name that no filter can select: an item and its
 * references are one write, in the format that items without an original have.
 */
const FIELD = '$original';
const HEAD = `{"${FIELD}":`;
const HEAD_BYTES = Buffer.from(HEAD);
const FILE_NAME = /^[0-9a-f]{64}$/;

/** Metadata and original as one JSON text. @throws Problem `invalid_request` */
export function joinOriginal(metadata: Metadata, original: Original | undefined): string {
  if (Object.hasOwn(metadata, FIELD)) throw new Problem('invalid_request', `Metadata cannot have a field "${FIELD}".`);
  const text = JSON.stringify(metadata);
  if (original === undefined) return text;
  if (!isOriginal(original))
    throw new Problem('invalid_request', 'Every part of "original" must have a "text", or as "file" a SHA-256 in hex.');
  return `${HEAD}${JSON.stringify(original)}${text === '{}' ? '}' : `,${text.slice(1)}`}`;
}

/** Splits what `joinOriginal` joined. */
export function splitOriginal(text: string): { metadata: Metadata; original?: Original } {
  const all = JSON.parse(text) as Metadata & { [FIELD]?: Original };
  if (!text.startsWith(HEAD)) return { metadata: all };
  const { [FIELD]: original, ...metadata } = all;
  return original === undefined ? { metadata } : { metadata, original };
}

/** The kept files that stored metadata refers to. */
export function filesOfStored(metadata: Buffer): string[] {
  if (!metadata.subarray(0, HEAD_BYTES.length).equals(HEAD_BYTES)) return [];
  return filesOf(splitOriginal(metadata.toString()).original ?? []);
}

/** The kept files of an original. */
export const filesOf = (original: Original): string[] =>
  original.flatMap((part) => ('file' in part ? [part.file] : []));

/** Guards paths: names can come from imported files. */
export const isFileName = (name: string): boolean => FILE_NAME.test(name);

function isOriginal(original: unknown): original is Original {
  if (!Array.isArray(original)) return false;
  return original.every(({ text, file }: { text?: unknown; file?: unknown }) =>
    file === undefined ? typeof text === 'string' : typeof file === 'string' && isFileName(file),
  );
}
