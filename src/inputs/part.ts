import type { Upload } from '../media/upload.js';

/** One part of an input: a text, or a received file. */
export type InputPart =
  | { text: string }
  | {
      upload: Upload;
      /** The modality that the caller requires; without it the content decides. */
      as?: 'image' | 'video';
    };
