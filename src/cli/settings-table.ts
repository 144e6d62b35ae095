import { Settings } from '../config.js';

const START = '<!-- settings -->';
const END = '<!-- /settings -->';

interface Setting {
  default?: unknown;
  /** Describes a default that depends on the machine. */
  'x-default'?: string;
  enum?: readonly string[];
  description?: string;
  /** Whether it may be in a file that `NAME_FILE` names. */
  'x-secret'?: boolean;
}

/** A Markdown table of every setting, its default and its description. */
export function settingsTable(): string {
  const rows = (Object.entries(Settings.properties) as [string, Setting][]).map(
    ([name, setting]) => `| \`${name}\` | ${defaultOf(setting)} | ${describe(name, setting)} |`,
  );
  return ['| Setting | Default | Description |', '| --- | --- | --- |', ...rows].join('\n');
}

/**
 * Replaces the table between the markers of a Markdown document with the current one.
 * @throws Error when the document has no markers
 */
export function withSettingsTable(markdown: string): string {
  const [start, end] = [markdown.indexOf(START), markdown.indexOf(END)];
  if (start < 0 || end < start) throw new Error(`The file must contain the lines ${START} and ${END}, in this order.`);
  return `${markdown.slice(0, start + START.length)}\n${settingsTable()}\n${markdown.slice(end)}`;
}

function defaultOf({ default: value, 'x-default': described }: Setting): string {
  if (described !== undefined) return described;
  return value === '' ? 'none' : `\`${value}\``;
}

function describe(name: string, { enum: choices, description = '', 'x-secret': isSecret }: Setting): string {
  if (isSecret) return `${description} \`${name}_FILE\` names a file with it instead.`;
  return choices === undefined ? description : `${description} One of ${choices.join(', ')}.`;
}
