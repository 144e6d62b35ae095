/** What the service and the process that decodes foreign images say to each other. */
import type { Frame, FrameShape } from '../../frame.js';

/** Formats that sharp does not decode. */
export type ForeignFormat = 'heic' | 'jxl' | 'bmp';

export interface Task {
  id: number;
  format: ForeignFormat;
  bytes: Uint8Array;
  shape: FrameShape;
  maxPixels: number;
}

/** Why there is no frame: more pixels than allowed, or what the decoder says; after a fatal one the process is of no use. */
export type Answer = { id: number } & ({ frame: Frame } | { pixels: number } | { error: string; isFatal: boolean });
