import { type FileFacts, keywordsOf, positionOf, textOf } from './facts.js';
import { timeOfEpoch } from './times.js';

/** What Google Takeout writes beside each photo, as far as it is read. */
interface Takeout {
  description?: unknown;
  photoTakenTime?: { timestamp?: unknown };
  geoData?: { latitude?: unknown; longitude?: unknown; altitude?: unknown };
  geoDataExif?: Takeout['geoData'];
  people?: { name?: unknown }[];
}

/**
 * What the JSON file that Google Takeout puts beside a photo or video says of it.
 * @returns nothing for JSON of another kind
 */
export function takeoutFacts(json: string): FileFacts {
  let takeout: Takeout;
  try {
    takeout = JSON.parse(json) as Takeout;
  } catch {
    return {};
  }
  if (typeof takeout !== 'object' || takeout === null || takeout.photoTakenTime === undefined) return {};
  const time = timeOfEpoch(Number(takeout.photoTakenTime?.timestamp ?? Number.NaN));
  const place = [takeout.geoData, takeout.geoDataExif].map((geo) => positionOf(geo?.latitude, geo?.longitude));
  const caption = textOf(takeout.description);
  const people = Array.isArray(takeout.people) ? keywordsOf(takeout.people.map((one) => one?.name)) : undefined;
  return {
    ...(time === undefined ? {} : { taken_at: time, taken_at_from: 'takeout' as const }),
    ...place.find(({ latitude }) => latitude !== undefined),
    ...(caption === undefined ? {} : { caption }),
    ...(people === undefined ? {} : { keywords: people }),
  };
}

/** A file beside a photo says a few things of it; one that is larger is something else. */
export const MAX_SIDECAR_BYTES = 1e6;
/** Whether a file has the name of one that may lie beside a photo. */
export const isSidecarName = (name: string): boolean => /\.(xmp|json)$/i.test(name);

/** Longest name of a file that Takeout writes, its ending counted. */
const TAKEOUT_NAME = 51;

/** The names that a file beside a photo may have: XMP as programs for photographs write it, and JSON of Takeout. */
export function sidecarNames(name: string): { xmp: string[]; takeout: string[] } {
  const dot = name.lastIndexOf('.');
  const stem = dot > 0 ? name.slice(0, dot) : name;
  // "photo(1).jpg" has "photo.jpg(1).json" beside it.
  const [, base, copy = ''] = /^(.*?)(\(\d+\))?$/.exec(stem) ?? [];
  const whole = `${base}${dot > 0 ? name.slice(dot) : ''}`;
  const cut = (text: string) => text.slice(0, TAKEOUT_NAME - '.json'.length);
  const takeout = ['', '.supplemental-metadata'].flatMap((suffix) => [
    `${cut(whole + suffix)}${copy}.json`,
    `${cut(stem + suffix)}.json`,
  ]);
  return { xmp: [`${name}.xmp`, `${stem}.xmp`, `${stem}.XMP`], takeout: [...new Set(takeout)] };
}
