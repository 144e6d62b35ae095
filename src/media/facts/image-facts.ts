import ExifReader from 'exifreader';
import { type FileFacts, keywordsOf, positionOf, textOf } from './facts.js';
import { offsetBetween, timeOf } from './times.js';

/** The groups of tags that are read; not thumbnails, previews, colour profiles and what makers note. */
const GROUPS = { exif: true, iptc: true, xmp: true, gps: true } as const;

/** A tag as the library gives it, of whichever group. */
interface Tag {
  description?: unknown;
  value?: unknown;
}
type Tags = Record<string, Tag | Tag[] | undefined>;

/**
 * What an image file, or an XMP file beside one, says of itself. Damaged metadata are none.
 * @param bytes the whole file: in some formats its metadata are at its end
 */
export function imageFacts(bytes: Uint8Array): FileFacts {
  let read: Record<string, unknown>;
  try {
    read = ExifReader.load(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), {
      expanded: true,
      includeTags: GROUPS,
    }) as Record<string, unknown>;
  } catch {
    return {};
  }
  const { exif = {}, iptc = {}, xmp = {} } = read as Record<string, Tags>;
  const gps = (read.gps ?? {}) as { Latitude?: number; Longitude?: number; Altitude?: number };
  return {
    ...takenAt(exif, xmp),
    ...(gps.Latitude === undefined ? {} : positionOf(gps.Latitude, gps.Longitude)),
    ...numeric('altitude', gps.Altitude),
    ...named('camera', cameraOf(exif)),
    ...named('lens', said(exif.LensModel) ?? said(xmp.Lens)),
    ...named(
      'caption',
      written(xmp.description) ?? written(iptc['Caption/Abstract']) ?? written(exif.ImageDescription),
    ),
    ...named('keywords', keywordsOf([...listed(xmp.subject), ...listed(iptc.Keywords)])),
  };
}

const named = <Name extends string, Value>(name: Name, value: Value | undefined): { [key in Name]?: Value } =>
  (value === undefined ? {} : { [name]: value }) as { [key in Name]?: Value };

const numeric = (name: 'altitude', value: unknown): FileFacts =>
  typeof value === 'number' && Number.isFinite(value) ? { [name]: Math.round(value * 10) / 10 } : {};

const said = (tag: Tag | Tag[] | undefined): string | undefined =>
  Array.isArray(tag) ? said(tag[0]) : textOf(tag?.description);

/** The entries of a list, which is an array of tags, or a tag whose value is one. */
function listed(tag: Tag | Tag[] | undefined): unknown[] {
  if (tag === undefined) return [];
  if (Array.isArray(tag)) return tag.map(({ description }) => description);
  return Array.isArray(tag.value) ? (tag.value as Tag[]).map((one) => one?.description) : [tag.description];
}

/** What cameras write into the description of every photo. */
const NO_CAPTION = /^(OLYMPUS DIGITAL CAMERA|SONY DSC|DCIM.*|Default|untitled|MINOLTA DIGITAL CAMERA)$/i;

/** A caption that somebody wrote. */
function written(tag: Tag | Tag[] | undefined): string | undefined {
  const caption = said(tag);
  return caption === undefined || NO_CAPTION.test(caption) ? undefined : caption;
}

/** The maker's name once, though most makers put it into the name of the model too. */
function cameraOf(exif: Tags): string | undefined {
  const [make, model] = [said(exif.Make), said(exif.Model)];
  if (make === undefined || model === undefined) return model ?? make;
  const first = make.split(/\s/)[0] ?? make;
  return model.toLowerCase().startsWith(first.toLowerCase()) ? model : `${make} ${model}`;
}

function takenAt(exif: Tags, xmp: Tags): FileFacts {
  const original =
    said(exif.DateTimeOriginal) ?? said(exif.DateTimeDigitized) ?? said(xmp.DateTimeOriginal) ?? said(xmp.CreateDate);
  const offset = said(exif.OffsetTimeOriginal) ?? said(exif.OffsetTimeDigitized) ?? said(exif.OffsetTime);
  const time = timeOf(original, offset);
  if (time === undefined) return {};
  const hasOffset = time.length > 19;
  const utc = hasOffset ? undefined : gpsTime(exif);
  return { taken_at: time + ((utc && offsetBetween(time, utc)) ?? ''), taken_at_from: 'exif' };
}

/** The time of the satellites, which is UTC: "2019:06:01" and "10:00:00". */
function gpsTime(exif: Tags): string | undefined {
  const [date, time] = [said(exif.GPSDateStamp), said(exif.GPSTimeStamp)];
  return date === undefined || time === undefined ? undefined : timeOf(`${date} ${time.split('.')[0]}`);
}
