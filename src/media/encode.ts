import type { Frame } from './frame.js';
import { sharp } from './image/sharp.js';

/** Visually lossless, at a tenth of the bytes of a PNG. */
const JPEG_QUALITY = 92;

const rawOf = ({ width, height }: Frame) => ({ width, height, channels: 3 }) as const;

/** A frame as a JPEG file, for services that take files. */
export const toJpeg = (frame: Frame): Promise<Buffer> =>
  sharp(frame.rgb, { raw: rawOf(frame) })
    .jpeg({ quality: JPEG_QUALITY, chromaSubsampling: '4:4:4' })
    .toBuffer();

/**
 * A frame as a PNG file, which every decoder turns into the same pixels. The frame already has the size that the model
 * takes, so the receiving service does not resize it and no limit of it applies.
 */
export const toPng = (frame: Frame): Promise<Buffer> =>
  sharp(frame.rgb, { raw: rawOf(frame) })
    .png({ compressionLevel: 1 })
    .toBuffer();
