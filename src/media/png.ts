import type { Frame } from './frame.js';
import { sharp } from './image/sharp.js';

/**
 * Encodes a frame without loss: every decoder returns the same pixels. The frame already has the size that the model
 * takes, so no limit or resize of the receiver changes it.
 *
 * @returns a PNG file of `width x height` pixels, RGB
 */
export const toPng = ({ rgb, width, height }: Frame): Promise<Buffer> =>
  sharp(rgb, { raw: { width, height, channels: 3 } })
    .png({ compressionLevel: 1 })
    .toBuffer();
