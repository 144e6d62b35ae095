import { Problem } from '../../common/errors.js';
import type { Frame } from '../../media/frame.js';

/** Text, or frames whose sides are multiples of the patch. */
export type Part = { text: string } | { frames: readonly Frame[] };

/** The text of all parts together. */
export const textOf = (parts: readonly Part[]): string =>
  parts.flatMap((part) => ('text' in part ? [part.text] : [])).join('\n');

/** The frames of all parts, in their order. */
export const framesOf = (parts: readonly Part[]): Frame[] =>
  parts.flatMap((part) => ('frames' in part ? part.frames : []));

/**
 * Guards the model's limit.
 * @throws Problem `invalid_request` for a sequence without a token, `too_large` for one that does not fit the model
 */
export function checkLength(length: number, limit: number): void {
  if (length === 0) throw new Problem('invalid_request', 'The text is empty: it has no token to embed.');
  if (length > limit) {
    const detail = `The input is a sequence of ${length} tokens; at most ${limit} fit. Send fewer parts.`;
    throw new Problem('too_large', detail, { tokens: length, limit_tokens: limit });
  }
}

/** (y, x) of a patch's centre as fractions of the frame's longer side, so that any grid interpolates a trained one. */
export function centre(row: number, column: number, rows: number, columns: number): [y: number, x: number] {
  const longer = Math.max(rows, columns);
  return [(row + 0.5) / longer, (column + 0.5) / longer];
}
