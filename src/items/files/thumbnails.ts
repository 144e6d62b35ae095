import { Problem } from '../../common/errors.js';
import { Semaphore } from '../../lib/async/semaphore.js';
import type { Logger } from '../../lib/log/logger.js';
import { type DecodedMedia, decodeMedia } from '../../media/decode.js';
import type { Frame } from '../../media/frame.js';
import { sharp } from '../../media/image/sharp.js';
import type { MediaLimits } from '../../media/limits.js';
import { takeInPlace, type Upload } from '../../media/upload.js';
import type { Ffmpeg } from '../../media/video/ffmpeg.js';
import type { ItemFile } from './item-file.js';
import type { ThumbnailFolder } from './thumbnail-folder.js';

/** Longest sides of thumbnails in pixels, and the sheet of a video's frames. */
export const THUMBNAIL_SIZES = ['320', '1280', 'sprite'] as const;
export type ThumbnailSize = (typeof THUMBNAIL_SIZES)[number];

/** Frames of a sprite, in rows of four, in order of time. */
const SPRITE_FRAMES = 16;
const SPRITE_COLUMNS = 4;
const SPRITE_SIDE = 320;
const QUALITY = 80;

/** Small pictures of files, made when they are asked for first, and kept in a folder that is bounded. */
export class Thumbnails {
  /** One at a time: they are for those who look, and requests come first. */
  private readonly turn = new Semaphore(1);
  private readonly making = new Map<string, Promise<string>>();

  constructor(
    private readonly folder: ThumbnailFolder,
    private readonly ffmpeg: Ffmpeg,
    private readonly limits: MediaLimits,
    private readonly logger: Logger,
  ) {}

  /** The place of a thumbnail that is there already. @param key that all files of one content have */
  find(key: string, size: ThumbnailSize): Promise<string | undefined> {
    return this.folder.find(nameOf(key, size));
  }

  /**
   * Makes a thumbnail of a file.
   * @returns its place
   * @throws Problem as `decodeMedia`, `wrong_modality` for the sprite of an image
   */
  make(key: string, size: ThumbnailSize, file: ItemFile): Promise<string> {
    return this.once(nameOf(key, size), async () => {
      const upload = await takeInPlace(file, { maxImageBytes: MAX_FILE, maxVideoBytes: MAX_FILE });
      try {
        return await this.picture(upload, size);
      } finally {
        await upload.dispose();
      }
    });
  }

  /**
   * Makes the small thumbnails of a file that will not be there later. A file that cannot be decoded is told of by whoever
   * embeds it, and a disk that is full costs thumbnails, and nothing else.
   */
  async keep(upload: Upload): Promise<void> {
    const key = upload.sha256;
    if ((await this.find(key, '320')) !== undefined) return;
    try {
      const { modality, frames } = await this.decode(upload, SPRITE_SIDE, SPRITE_FRAMES);
      const middle = frames[Math.floor(frames.length / 2)] as Frame;
      await this.once(nameOf(key, '320'), () => encode(middle));
      if (modality === 'video') await this.once(nameOf(key, 'sprite'), () => encode(sheet(frames)));
    } catch (error) {
      if (!(error instanceof Problem)) this.logger.warn({ err: error }, 'a thumbnail cannot be kept');
    }
  }

  private async once(name: string, picture: () => Promise<Buffer>): Promise<string> {
    const work =
      this.making.get(name) ??
      this.turn.use(async () => (await this.folder.find(name)) ?? this.folder.put(name, await picture()));
    this.making.set(name, work);
    try {
      return await work;
    } finally {
      this.making.delete(name);
    }
  }

  private async picture(upload: Upload, size: ThumbnailSize): Promise<Buffer> {
    if (size !== 'sprite') {
      const { frames } = await this.decode(upload, Number(size), 1);
      return encode(frames[0] as Frame);
    }
    const { modality, frames } = await this.decode(upload, SPRITE_SIDE, SPRITE_FRAMES);
    if (modality !== 'video') throw new Problem('wrong_modality', 'Only a video has a sprite.');
    return encode(sheet(frames));
  }

  /** The frame of an image, or frames of a video, evenly over its length; at least one. */
  private decode(upload: Upload, maxSide: number, count: number): Promise<DecodedMedia> {
    const { ffmpeg, limits } = this;
    const video = { maxSide, framesPerSecond: 1, minFrames: count, maxFrames: count };
    return decodeMedia(upload, { image: { maxSide }, video, limits, ffmpeg });
  }
}

type Picture = Pick<Frame, 'width' | 'height' | 'rgb'>;

const encode = ({ width, height, rgb }: Picture): Promise<Buffer> =>
  sharp(rgb, { raw: { width, height, channels: 3 } })
    .webp({ quality: QUALITY, effort: 2 })
    .toBuffer();

/** The limits that held when the file was stored may have been others. */
const MAX_FILE = Number.POSITIVE_INFINITY;

const nameOf = (key: string, size: ThumbnailSize): string => `${key}-${size}`;

/** Frames of one size side by side; where there are too few, what is left is black. */
function sheet(frames: readonly Frame[]): Picture {
  const { width, height } = frames[0] as Frame;
  const [across, down] = [SPRITE_COLUMNS * width, Math.ceil(SPRITE_FRAMES / SPRITE_COLUMNS) * height];
  const rgb = new Uint8Array(3 * across * down);
  for (const [i, frame] of frames.entries()) {
    const start = 3 * (Math.floor(i / SPRITE_COLUMNS) * height * across + (i % SPRITE_COLUMNS) * width);
    for (let y = 0; y < height; y++)
      rgb.set(frame.rgb.subarray(3 * y * width, 3 * (y + 1) * width), start + 3 * y * across);
  }
  return { width: across, height: down, rgb };
}
