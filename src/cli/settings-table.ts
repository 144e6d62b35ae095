import { Settings } from '../config.js';

const START = '<!-- settings -->';
const END = '<!-- /settings -->';

interface Setting {
  default?: unknown;
  /** How to say a default that depends on the machine. */
  'x-default'?: string;
  enum?: readonly string[];
  description?: string;
}

/** Every setting, its default and what it is for, as a Markdown table. */
export function settingsTable(): string {
  const rows = (Object.entries(Settings.properties) as [string, Setting][]).map(
    ([name, setting]) => `| \`${name}\` | ${defaultOf(setting)} | ${describe(setting)} |`,
  );
  return ['| Setting | Default | What it is for |', '| --- | --- | --- |', ...rows].join('\n');
}

/**
 * `markdown` with the table of today between its markers.
 * @throws Error when it has no markers
 */
export function withSettingsTable(markdown: string): string {
  const [start, end] = [markdown.indexOf(START), markdown.indexOf(END)];
  if (start < 0 || end < start) throw new Error(`The file needs the lines ${START} and ${END}, in this order.`);
  return `${markdown.slice(0, start + START.length)}\n${settingsTable()}\n${markdown.slice(end)}`;
}

function defaultOf({ default: value, 'x-default': said }: Setting): string {
  if (said !== undefined) return said;
  return value === '' ? 'none' : `\`${value}\``;
}

function describe({ enum: choices, description = '' }: Setting): string {
  return choices === undefined ? description : `${description} One of ${choices.join(', ')}.`;
}
