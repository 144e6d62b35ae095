import type { Upload } from '../media/upload.js';

/** One part of what is to be embedded, as it was received: a text, or a file. */
export type InputPart =
  | { text: string }
  | {
      upload: Upload;
      /** The modality the caller insists on; without it the content decides. */
      as?: 'image' | 'video';
    };

/** Gives back what the uploads among the parts hold; may be called again. */
export async function disposeParts(parts: readonly InputPart[]): Promise<void> {
  await Promise.all(parts.map((part) => ('upload' in part ? part.upload.dispose() : undefined)));
}
