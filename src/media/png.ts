import type { Frame } from './frame.js';
import { sharp } from './image/sharp.js';

/**
 * A decoded picture as a file that every decoder turns into the very same pixels. It has the size that the model
 * wants, so it is smaller than what the client sent, and no limit or decoder of the other side can differ on it.
 */
export const toPng = ({ rgb, width, height }: Frame): Promise<Buffer> =>
  sharp(rgb, { raw: { width, height, channels: 3 } })
    .png({ compressionLevel: 1 })
    .toBuffer();
