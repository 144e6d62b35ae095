/** Times as cameras, phones and programs write them, as ISO 8601. */

interface Parts {
  year: number;
  month: number;
  day: number;
  hour?: number;
  minute?: number;
  second?: number;
}

/** Cameras whose clock was never set say the first of January of these years. */
const EARLIEST_YEAR = 1826;
const LATEST_YEAR = 2100;

/** @returns `2019-06-01T12:00:00`; undefined for what is no time */
function iso({ year, month, day, hour = 0, minute = 0, second = 0 }: Parts): string | undefined {
  if (year < EARLIEST_YEAR || year > LATEST_YEAR) return undefined;
  const date = new Date(Date.UTC(year, month - 1, day, hour, minute, Math.min(second, 59)));
  // Months and days that do not exist come out as others.
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day || hour > 23 || minute > 59) return undefined;
  return date.toISOString().slice(0, 19);
}

const EXIF = /^(\d{4})[:\-/.](\d{1,2})[:\-/.](\d{1,2})(?:[ T](\d{1,2}):(\d{2})(?::(\d{2}))?)?/;
const OFFSET = /(Z|[+-]\d{2}:?\d{2})\s*$/;

/** `+0200` as `+02:00`, which is how ISO 8601 has it everywhere here. */
const offsetOf = (text: string | undefined): string | undefined => {
  const found = OFFSET.exec(text?.trim() ?? '')?.[1];
  if (found === undefined || found === 'Z') return found;
  const plain = found.replace(':', '');
  // No place is further from Greenwich.
  return Number(plain.slice(1, 3)) > 14 ? undefined : `${plain.slice(0, 3)}:${plain.slice(3)}`;
};

/**
 * A time as EXIF, XMP or QuickTime write it.
 * @param offset of the time zone, where it stands apart
 */
export function timeOf(text: string | undefined, offset?: string): string | undefined {
  const [matched, ...numbers] = EXIF.exec(text?.trim() ?? '') ?? [];
  if (matched === undefined) return undefined;
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = numbers.map((one) => Number(one ?? 0));
  const time = iso({ year, month, day, hour, minute, second });
  if (time === undefined) return undefined;
  const rest = (text ?? '').trim().slice(matched.length);
  return time + (offsetOf(rest) ?? offsetOf(offset) ?? '');
}

/** The offset of local time from a time in UTC, where it is one that exists: `+05:45`. */
export function offsetBetween(local: string, utc: string): string | undefined {
  const minutes = (Date.parse(`${local.slice(0, 19)}Z`) - Date.parse(`${utc.slice(0, 19)}Z`)) / 60_000;
  const quarters = Math.round(minutes / 15) * 15;
  // Clocks of cameras are minutes off at most; of receivers, which say the time of the last fix, a little more.
  if (!(Math.abs(quarters) <= 14 * 60) || Math.abs(minutes - quarters) > 5) return undefined;
  const two = (value: number) => String(value).padStart(2, '0');
  return `${quarters < 0 ? '-' : '+'}${two(Math.floor(Math.abs(quarters) / 60))}:${two(Math.abs(quarters) % 60)}`;
}

/** @param seconds since 1970 in UTC */
export function timeOfEpoch(seconds: number): string | undefined {
  const date = new Date(seconds * 1000);
  if (Number.isNaN(date.getTime()) || date.getUTCFullYear() < 1970 || date.getUTCFullYear() > LATEST_YEAR)
    return undefined;
  return `${date.toISOString().slice(0, 19)}Z`;
}

/** A date and perhaps a time between separators: `IMG_20190601_120000`, `2019-06-01 at 12.00.00`, `20190601-WA0001`. */
const IN_NAME =
  /(?<!\d)((?:19|20)\d\d)([-_.]?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])(?:(?:[-_ T.]|\s+at\s+|\s+um\s+|_at_)?([01]\d|2[0-3])([-_.:]?)([0-5]\d)\6([0-5]\d)(?!\d{4}))?(?!\d{7})/;
/** Milliseconds or seconds since 1970, as some programs name files; from 2001 on. */
const EPOCH_IN_NAME = /(?<!\d)(1\d{12}|1\d{9})(?!\d)/;
/** Telephones that name files in UTC. */
const UTC_NAME = /^PXL_/;

/** The time that the name of a file says. */
export function timeOfName(name: string): string | undefined {
  const [, year, , month, day, hour, , minute, second] = IN_NAME.exec(name) ?? [];
  if (year !== undefined) {
    const numbers = { year: Number(year), month: Number(month), day: Number(day) };
    if (hour === undefined) return iso(numbers)?.slice(0, 10);
    const time = iso({ ...numbers, hour: Number(hour), minute: Number(minute), second: Number(second) });
    return time === undefined ? undefined : time + (UTC_NAME.test(name) ? 'Z' : '');
  }
  const epoch = EPOCH_IN_NAME.exec(name)?.[1];
  return epoch === undefined ? undefined : timeOfEpoch(Number(epoch) / (epoch.length === 13 ? 1000 : 1));
}
