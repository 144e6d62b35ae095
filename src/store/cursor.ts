import { Problem } from '../common/errors.js';

const PREFIX = 'after:';

/** A page's cursor: the last id examined, encoded so that clients treat it as opaque. */
export const encodeCursor = (lastId: string): string => Buffer.from(PREFIX + lastId).toString('base64url');

/** @throws Problem `invalid_cursor` */
export function decodeCursor(cursor: string): string {
  const text = Buffer.from(cursor, 'base64url').toString();
  if (!text.startsWith(PREFIX) || encodeCursor(text.slice(PREFIX.length)) !== cursor)
    throw new Problem(
      'invalid_cursor',
      'The cursor is not one of this service. Send the next_cursor of the page before, unchanged.',
    );
  return text.slice(PREFIX.length);
}
