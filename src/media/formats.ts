/**
 * Every file format the service reads, one line each. The detector, the decoders, the error that lists the accepted
 * formats and the command-line tool derive from it, so it imports nothing. A new format is a line here and a
 * signature in `detect-format.ts`.
 */

interface ImageFormatInfo {
  /** Name in messages. */
  label: string;
  /** Media type. */
  mime: string;
  /** Name that sharp's metadata reports; undefined for formats that sharp does not read. */
  sharpFormat: string | undefined;
  /** Class of libvips' loader, without its prefix `VipsForeignLoad`. */
  vipsLoader: string | undefined;
  /** File name extensions, lower case, without the dot. */
  extensions: readonly string[];
  /** What a file with several pages is: an animation, a document, or an image of which only the first page counts. */
  pages: 'single' | 'animation' | 'document';
}

/** Image formats. AVIF and HEIC share the HEIF container. */
export const IMAGE_FORMATS = {
  jpeg: {
    label: 'JPEG',
    mime: 'image/jpeg',
    sharpFormat: 'jpeg',
    vipsLoader: 'Jpeg',
    extensions: ['jpg', 'jpeg', 'jpe', 'jfif'],
    pages: 'single',
  },
  png: { label: 'PNG', mime: 'image/png', sharpFormat: 'png', vipsLoader: 'Png', extensions: ['png'], pages: 'single' },
  webp: {
    label: 'WebP',
    mime: 'image/webp',
    sharpFormat: 'webp',
    vipsLoader: 'Webp',
    extensions: ['webp'],
    pages: 'animation',
  },
  avif: {
    label: 'AVIF',
    mime: 'image/avif',
    sharpFormat: 'heif',
    vipsLoader: 'Heif',
    extensions: ['avif'],
    pages: 'single',
  },
  heic: {
    label: 'HEIC',
    mime: 'image/heic',
    sharpFormat: 'heif',
    vipsLoader: 'Heif',
    extensions: ['heic', 'heif'],
    pages: 'single',
  },
  gif: {
    label: 'GIF',
    mime: 'image/gif',
    sharpFormat: 'gif',
    vipsLoader: 'Nsgif',
    extensions: ['gif'],
    pages: 'animation',
  },
  jxl: {
    label: 'JPEG XL',
    mime: 'image/jxl',
    sharpFormat: undefined,
    vipsLoader: undefined,
    extensions: ['jxl'],
    pages: 'single',
  },
  bmp: {
    label: 'BMP',
    mime: 'image/bmp',
    sharpFormat: undefined,
    vipsLoader: undefined,
    extensions: ['bmp', 'dib'],
    pages: 'single',
  },
  raw: {
    label: 'raw',
    // Each maker has its own; none is shown by browsers.
    mime: 'application/octet-stream',
    // The JPEG that is in it.
    sharpFormat: 'jpeg',
    vipsLoader: undefined,
    extensions: ['dng', 'cr2', 'cr3', 'nef', 'nrw', 'arw', 'sr2', 'orf', 'raf', 'rw2', 'pef', 'srw'],
    pages: 'single',
  },
  tiff: {
    label: 'TIFF',
    mime: 'image/tiff',
    sharpFormat: 'tiff',
    vipsLoader: 'Tiff',
    extensions: ['tif', 'tiff'],
    pages: 'document',
  },
} as const satisfies Record<string, ImageFormatInfo>;

interface VideoFormatInfo {
  /** Name in messages. */
  label: string;
  /** Media type. */
  mime: string;
  /** ffmpeg's name of the container's demuxer. */
  demuxer: string;
  /** File name extensions, lower case, without the dot. */
  extensions: readonly string[];
}

/** Video containers. Animated GIF and WebP are image formats here: only decoding tells them from stills. */
export const VIDEO_FORMATS = {
  mp4: { label: 'MP4', mime: 'video/mp4', demuxer: 'mov', extensions: ['mp4', 'm4v', '3gp', '3g2', 'f4v'] },
  mov: { label: 'MOV', mime: 'video/quicktime', demuxer: 'mov', extensions: ['mov', 'qt'] },
  webm: { label: 'WebM', mime: 'video/webm', demuxer: 'matroska', extensions: ['webm'] },
  mkv: { label: 'MKV', mime: 'video/x-matroska', demuxer: 'matroska', extensions: ['mkv'] },
  avi: { label: 'AVI', mime: 'video/x-msvideo', demuxer: 'avi', extensions: ['avi', 'divx'] },
  mpegts: { label: 'MPEG-TS', mime: 'video/mp2t', demuxer: 'mpegts', extensions: ['ts', 'mts', 'm2ts', 'm2t'] },
  mpeg: { label: 'MPEG', mime: 'video/mpeg', demuxer: 'mpeg', extensions: ['mpg', 'mpeg', 'vob'] },
  asf: { label: 'Windows Media', mime: 'video/x-ms-wmv', demuxer: 'asf', extensions: ['wmv', 'asf'] },
  flv: { label: 'Flash', mime: 'video/x-flv', demuxer: 'flv', extensions: ['flv'] },
  ogg: { label: 'Ogg', mime: 'video/ogg', demuxer: 'ogg', extensions: ['ogv'] },
} as const satisfies Record<string, VideoFormatInfo>;

export type ImageFormat = keyof typeof IMAGE_FORMATS;
export type VideoFormat = keyof typeof VIDEO_FORMATS;

/** Image formats whose files may have several pages. */
export type PagedFormat = {
  [Format in ImageFormat]: (typeof IMAGE_FORMATS)[Format]['pages'] extends 'single' ? never : Format;
}[ImageFormat];

const imageFormats: readonly ImageFormatInfo[] = Object.values(IMAGE_FORMATS);
const videoFormats: readonly VideoFormatInfo[] = Object.values(VIDEO_FORMATS);

/** Extensions of the files the service reads, lower case, without the dot. */
export const MEDIA_EXTENSIONS: readonly string[] = [...imageFormats, ...videoFormats].flatMap(
  ({ extensions }) => extensions,
);

const VIDEO_EXTENSIONS = videoFormats.flatMap(({ extensions }) => extensions);
const named = (extensions: readonly string[]) => new RegExp(`\\.(${extensions.join('|')})$`, 'i');
const [MEDIA_NAME, VIDEO_NAME] = [named(MEDIA_EXTENSIONS), named(VIDEO_EXTENSIONS)];

/** Whether a file has the name of an image or a video. */
export const isMediaName = (name: string): boolean => MEDIA_NAME.test(name);

/** Whether a file has the name of a video. */
export const isVideoName = (name: string): boolean => VIDEO_NAME.test(name);

/** The accepted formats as the object of a sentence: "a JPEG, PNG or GIF image, or an MP4 or AVI video". */
export const acceptedFormats = (): string =>
  `a ${alternatives(imageFormats)} image, or an ${alternatives(videoFormats)} video`;

function alternatives(formats: readonly { label: string }[]): string {
  const labels = formats.map(({ label }) => label);
  return `${labels.slice(0, -1).join(', ')} or ${labels.at(-1)}`;
}

/** The media type by which a file is answered; browsers show those they know. */
export const mimeOf = (format: ImageFormat | VideoFormat): string =>
  ({ ...IMAGE_FORMATS, ...VIDEO_FORMATS })[format].mime;
