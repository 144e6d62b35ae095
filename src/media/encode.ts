import type { Frame } from './frame.js';
import { sharp } from './image/sharp.js';

/** Little is lost, and a tenth of the bytes of a PNG. */
const QUALITY = 92;

/** A frame as a JPEG file, for services that take files. */
export function toJpeg({ rgb, width, height }: Frame): Promise<Buffer> {
  const raw = { width, height, channels: 3 } as const;
  return sharp(rgb, { raw }).jpeg({ quality: QUALITY, chromaSubsampling: '4:4:4' }).toBuffer();
}
