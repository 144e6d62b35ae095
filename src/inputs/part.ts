import type { Upload } from '../media/upload.js';

/** One part of an input: a text, or a received file. */
export type InputPart =
  | { text: string }
  | {
      upload: Upload;
      /** The modality that the caller requires; without it the content decides. */
      as?: 'image' | 'video';
    };

/** The texts among the parts, one a line; undefined when there are none. */
export function textOf(parts: readonly InputPart[]): string | undefined {
  const texts = parts.flatMap((part) => ('text' in part ? [part.text] : []));
  return texts.length === 0 ? undefined : texts.join('\n');
}
