/**
 * Every file format the service reads, one line each. The detector, the decoders, the error that lists the accepted
 * formats and the command-line tool derive from it, so it imports nothing. A new format is a line here and a
 * signature in `detect-format.ts`.
 */

interface ImageFormatInfo {
  /** Name in messages. */
  label: string;
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
    sharpFormat: 'jpeg',
    vipsLoader: 'Jpeg',
    extensions: ['jpg', 'jpeg', 'jpe', 'jfif'],
    pages: 'single',
  },
  png: { label: 'PNG', sharpFormat: 'png', vipsLoader: 'Png', extensions: ['png'], pages: 'single' },
  webp: { label: 'WebP', sharpFormat: 'webp', vipsLoader: 'Webp', extensions: ['webp'], pages: 'animation' },
  avif: { label: 'AVIF', sharpFormat: 'heif', vipsLoader: 'Heif', extensions: ['avif'], pages: 'single' },
  heic: { label: 'HEIC', sharpFormat: 'heif', vipsLoader: 'Heif', extensions: ['heic', 'heif'], pages: 'single' },
  gif: { label: 'GIF', sharpFormat: 'gif', vipsLoader: 'Nsgif', extensions: ['gif'], pages: 'animation' },
  jxl: { label: 'JPEG XL', sharpFormat: undefined, vipsLoader: undefined, extensions: ['jxl'], pages: 'single' },
  bmp: { label: 'BMP', sharpFormat: undefined, vipsLoader: undefined, extensions: ['bmp', 'dib'], pages: 'single' },
  raw: {
    label: 'raw',
    // The JPEG that is in it.
    sharpFormat: 'jpeg',
    vipsLoader: undefined,
    extensions: ['dng', 'cr2', 'cr3', 'nef', 'nrw', 'arw', 'sr2', 'orf', 'raf', 'rw2', 'pef', 'srw'],
    pages: 'single',
  },
  tiff: { label: 'TIFF', sharpFormat: 'tiff', vipsLoader: 'Tiff', extensions: ['tif', 'tiff'], pages: 'document' },
} as const satisfies Record<string, ImageFormatInfo>;

interface VideoFormatInfo {
  /** Name in messages. */
  label: string;
  /** ffmpeg's name of the container's demuxer. */
  demuxer: string;
  /** File name extensions, lower case, without the dot. */
  extensions: readonly string[];
}

/** Video containers. Animated GIF and WebP are image formats here: only decoding tells them from stills. */
export const VIDEO_FORMATS = {
  mp4: { label: 'MP4', demuxer: 'mov', extensions: ['mp4', 'm4v', '3gp', '3g2', 'f4v'] },
  mov: { label: 'MOV', demuxer: 'mov', extensions: ['mov', 'qt'] },
  webm: { label: 'WebM', demuxer: 'matroska', extensions: ['webm'] },
  mkv: { label: 'MKV', demuxer: 'matroska', extensions: ['mkv'] },
  avi: { label: 'AVI', demuxer: 'avi', extensions: ['avi', 'divx'] },
  mpegts: { label: 'MPEG-TS', demuxer: 'mpegts', extensions: ['ts', 'mts', 'm2ts', 'm2t'] },
  mpeg: { label: 'MPEG', demuxer: 'mpeg', extensions: ['mpg', 'mpeg', 'vob'] },
  asf: { label: 'Windows Media', demuxer: 'asf', extensions: ['wmv', 'asf'] },
  flv: { label: 'Flash', demuxer: 'flv', extensions: ['flv'] },
  ogg: { label: 'Ogg', demuxer: 'ogg', extensions: ['ogv'] },
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

/** The accepted formats as the object of a sentence: "a JPEG, PNG or GIF image, or an MP4 or AVI video". */
export const acceptedFormats = (): string =>
  `a ${alternatives(imageFormats)} image, or an ${alternatives(videoFormats)} video`;

function alternatives(formats: readonly { label: string }[]): string {
  const labels = formats.map(({ label }) => label);
  return `${labels.slice(0, -1).join(', ')} or ${labels.at(-1)}`;
}

/** Media types by which a file is answered; browsers show those they know. */
const MIME: Record<ImageFormat | VideoFormat, string> = {
  jpeg: 'image/jpeg',
  png: 'image/png',
  webp: 'image/webp',
  avif: 'image/avif',
  heic: 'image/heic',
  gif: 'image/gif',
  jxl: 'image/jxl',
  bmp: 'image/bmp',
  tiff: 'image/tiff',
  mp4: 'video/mp4',
  mov: 'video/quicktime',
  webm: 'video/webm',
  mkv: 'video/x-matroska',
  avi: 'video/x-msvideo',
  mpegts: 'video/mp2t',
  mpeg: 'video/mpeg',
  asf: 'video/x-ms-wmv',
  flv: 'video/x-flv',
  ogg: 'video/ogg',
  // Each maker has its own; none is shown by browsers.
  raw: 'application/octet-stream',
};

export const mimeOf = (format: ImageFormat | VideoFormat): string => MIME[format];
