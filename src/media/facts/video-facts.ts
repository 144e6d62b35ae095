import { statedSeconds } from '../video/probe.js';
import { type FileFacts, keywordsOf, positionOf, textOf } from './facts.js';
import { timeOf } from './times.js';

/** `+48.8577+002.2950+035.1/`: latitude, longitude and perhaps altitude (ISO 6709, annex H). */
const ISO_6709 = /^([+-]\d{2}(?:\.\d+)?)([+-]\d{3}(?:\.\d+)?)([+-]\d+(?:\.\d+)?)?/;

/**
 * What a video file says of itself, from the log in which ffmpeg lists its tags.
 * @param log of a run with the level `info`
 */
export function videoFacts(log: string): FileFacts {
  const tags = tagsOf(log);
  const tag = (...names: string[]) => names.map((name) => textOf(tags.get(name))).find((value) => value !== undefined);
  // Apple's own tag has the local time with its offset; the header's is UTC.
  const time = timeOf(tag('com.apple.quicktime.creationdate')) ?? timeOf(tag('creation_time', 'date_recorded', 'date'));
  const [, latitude, longitude, altitude] =
    ISO_6709.exec(tag('com.apple.quicktime.location.iso6709', 'location', 'location-eng') ?? '') ?? [];
  const make = tag('com.apple.quicktime.make', 'make', 'com.android.manufacturer');
  const model = tag('com.apple.quicktime.model', 'model', 'com.android.model');
  const camera =
    make !== undefined && model !== undefined && !model.startsWith(make) ? `${make} ${model}` : (model ?? make);
  const keywords = keywordsOf((tag('keywords', 'com.apple.quicktime.keywords') ?? '').split(/[,;]/));
  const caption = tag('description', 'com.apple.quicktime.description', 'comment', 'title');
  return {
    ...shapeOf(log),
    ...(time === undefined || isUnset(time) ? {} : { taken_at: time, taken_at_from: 'quicktime' as const }),
    ...(latitude === undefined ? {} : positionOf(latitude, longitude)),
    ...(altitude === undefined ? {} : { altitude: Math.round(Number(altitude) * 10) / 10 }),
    ...(camera === undefined ? {} : { camera }),
    ...(caption === undefined ? {} : { caption }),
    ...(keywords === undefined ? {} : { keywords }),
  };
}

/** Duration and size as the headers state them. */
function shapeOf(log: string): FileFacts {
  const duration = statedSeconds(log);
  const [, across, down] = /: Video: .*?, (\d+)x(\d+)/.exec(log)?.map(Number) ?? [];
  const isTurned = /rotation of -?(90|270)\.00 degrees/.test(log);
  const [width, height] = isTurned ? [down, across] : [across, down];
  return {
    ...(duration > 0 ? { duration: Math.round(duration * 100) / 100 } : {}),
    ...(width && height ? { width, height } : {}),
  };
}

/** A header whose time was never set counts from its epoch: 1904 in QuickTime, 1970 in programs. */
const isUnset = (time: string): boolean => /^(1904|1970)-01-01T00:00/.test(time);

/** The tags of the file, in lower case; those of its streams come after and do not count where the file has the same. */
function tagsOf(log: string): Map<string, string> {
  const tags = new Map<string, string>();
  const input = log.slice(Math.max(0, log.indexOf('Input #0')), log.indexOf('Output #0') >>> 0);
  for (const [, name = '', value = ''] of input.matchAll(/^ {4,}([\w.-]+) *: (.*)$/gm))
    if (!tags.has(name.toLowerCase())) tags.set(name.toLowerCase(), value);
  return tags;
}
