/**
 * What a file tells of itself beside its pixels: when and where it was taken, with what, and what somebody wrote about it.
 * Items have it in their metadata under these names, so that filters can ask for it.
 */
export interface FileFacts {
  /** Local time where it was taken, with its offset where that is known: `2019-06-01T12:00:00+02:00`. */
  taken_at?: string;
  /** Where that time comes from; the earlier ones count before the later. */
  taken_at_from?: 'xmp' | 'exif' | 'quicktime' | 'takeout' | 'name' | 'modified';
  /** Degrees, positive to the north. */
  latitude?: number;
  /** Degrees, positive to the east. */
  longitude?: number;
  /** Metres above the sea. */
  altitude?: number;
  /** The town that is nearest, its region and its country: `Zermatt, Valais, Switzerland`. */
  place?: string;
  camera?: string;
  lens?: string;
  /** Pixels across, upright. */
  width?: number;
  /** Pixels down, upright. */
  height?: number;
  /** Seconds. */
  duration?: number;
  caption?: string;
  keywords?: string[];
}

/** The names of all facts. */
export const FACT_NAMES = Object.keys({
  taken_at: true,
  taken_at_from: true,
  latitude: true,
  longitude: true,
  altitude: true,
  place: true,
  camera: true,
  lens: true,
  width: true,
  height: true,
  duration: true,
  caption: true,
  keywords: true,
} satisfies Record<keyof FileFacts, true>);

/** Most that is taken over of one text, in characters, and most keywords: a file may have megabytes of either. */
const MAX_TEXT = 2000;
const MAX_KEYWORDS = 100;
const MAX_KEYWORD = 100;
/** More than all facts of one file take as JSON. */
export const MAX_FACTS_BYTES = 24 * 1024;

/** A text without the padding that cameras write; undefined where nothing is left. */
export function textOf(value: unknown): string | undefined {
  if (typeof value !== 'string') return undefined;
  // Control characters, which some cameras pad with, are not part of any text.
  const text = value.replace(/\p{Cc}+/gu, ' ').trim();
  return text === '' ? undefined : text.slice(0, MAX_TEXT);
}

/** Keywords, each once. */
export function keywordsOf(values: readonly unknown[]): string[] | undefined {
  const texts = values.flatMap((value) => textOf(value) ?? []);
  const short = texts.map((text) => text.slice(0, MAX_KEYWORD));
  return short.length === 0 ? undefined : [...new Set(short)].slice(0, MAX_KEYWORDS);
}

/** A position on the globe; cameras without a fix write zeros, or what is no position at all. */
export function positionOf(latitude: unknown, longitude: unknown): Pick<FileFacts, 'latitude' | 'longitude'> {
  const [lat, lon] = [Number(latitude), Number(longitude)];
  if (!(Math.abs(lat) <= 90 && Math.abs(lon) <= 180) || (lat === 0 && lon === 0)) return {};
  return { latitude: rounded(lat), longitude: rounded(lon) };
}

/** Six decimals are a tenth of a metre. */
const rounded = (degrees: number): number => Math.round(degrees * 1e6) / 1e6;

/** The facts of several sources, the earlier ones before the later; what is undefined is left out. */
export function mergeFacts(...sources: readonly FileFacts[]): FileFacts {
  const merged: Record<string, unknown> = {};
  for (const source of sources)
    for (const [name, value] of Object.entries(source)) if (value !== undefined) merged[name] ??= value;
  // A time and its origin, and a position and its place, come from one source.
  const time = sources.find(({ taken_at }) => taken_at !== undefined);
  if (time !== undefined) merged.taken_at_from = time.taken_at_from;
  const position = sources.find(({ latitude, longitude }) => latitude !== undefined && longitude !== undefined);
  if (position === undefined) return merged;
  const { latitude, longitude, place } = position as Required<FileFacts>;
  const { place: _, ...others } = merged;
  return { ...others, latitude, longitude, ...(place === undefined ? {} : { place }) };
}
