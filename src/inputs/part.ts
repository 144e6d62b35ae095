import type { Upload } from '../media/upload.js';
import type { FileMark } from './file-mark.js';

/** One part of an input: a text, or a received file. */
export type InputPart =
  | { text: string }
  | {
      upload: Upload;
      /** The modality that the caller requires; without it the content decides. */
      as?: 'image' | 'video';
      /** Where the file lies, when it was named instead of sent. */
      origin?: FileOrigin;
    };

/** A file of a media root, as it was when it was read. */
export interface FileOrigin {
  /** `root/path/within`. */
  path: string;
  bytes: number;
  /** When it was last changed, in milliseconds since 1970. */
  modifiedMs: number;
  /** Reads the files beside it that say more of it. */
  readBeside(): Promise<FilesBeside>;
}

/** What programs for photographs put beside a file. */
export interface FilesBeside {
  /** Those that were read. */
  files: FileMark[];
  /** A file of XMP. */
  xmp?: Uint8Array;
  /** The JSON of Google Takeout. */
  takeout?: string;
}
