import { readFile } from 'node:fs/promises';
import path from 'node:path';

/** A command of a page, with the output that the page shows after it. */
export interface Command {
  line: string;
  shown?: { language: string; text: string } | undefined;
}

/** A Markdown file, as far as the tests look at it. */
export interface Page {
  file: string;
  commands: Command[];
  /** Languages of its blocks. */
  languages: string[];
  /** Level and text of each heading. */
  headings: { level: number; text: string }[];
  /** Targets of links and images. */
  links: string[];
  /** Rows of each table. */
  tableRows: number[];
}

export async function readPage(file: string): Promise<Page> {
  const text = await readFile(file, 'utf8');
  const prose = text.replaceAll(/^```.*?^```$/gms, '');
  return {
    file,
    commands: commandsOf(text),
    languages: [...text.matchAll(/^```(\w*)\n.*?^```$/gms)].map(([, language = '']) => language),
    headings: [...prose.matchAll(/^(#+) (.+)$/gm)].map(([, marks = '', title = '']) => ({
      level: marks.length,
      text: title,
    })),
    links: [...prose.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => target),
    tableRows: [...prose.matchAll(/(?:^\|.*\n)+/gm)].map(([table]) => table.trim().split('\n').length),
  };
}

/** Every line of a console block that begins with "$"; what a page shows right after a block is of its last command. */
function commandsOf(text: string): Command[] {
  const blocks = [...text.matchAll(/^```(\w*)\n(.*?)^```$/gms)].map((match) => ({
    language: match[1] as string,
    content: match[2] as string,
    start: match.index,
    end: match.index + match[0].length,
  }));
  return blocks.flatMap((block, i) => {
    if (block.language !== 'console') return [];
    const lines = block.content.replaceAll(/\\\n\s*/g, '').split('\n');
    const commands: Command[] = lines
      .filter((line) => line.startsWith('$ '))
      .map((line) => ({ line: line.slice(2).replace(/ +#.*$/, '') }));
    const next = blocks[i + 1];
    const between = next === undefined ? '' : text.slice(block.end, next.start).trim();
    // At most a line such as "The answer to the last:" stands between.
    const follows = next !== undefined && /^(The answer to the \w+:)?$/.test(between);
    const last = between.includes('first') ? commands[0] : commands.at(-1);
    if (follows && ['json', 'text'].includes(next.language) && last !== undefined)
      last.shown = { language: next.language, text: next.content };
    return commands;
  });
}

/** The anchor that GitHub gives a heading. */
export const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
    .trim()
    .replaceAll(/\s/g, '-');

/** Where a link of a page leads: a path from the root of the repository, with its anchor. */
export function resolveLink(page: Page, target: string): { file: string; anchor: string | undefined } {
  const [file = '', anchor] = target.split('#');
  return { file: file === '' ? page.file : path.join(path.dirname(page.file), file), anchor };
}

/** The names of fields that JSON shows, where "..." stands for what is left out. */
export const keysShown = (text: string): string[] => [
  ...new Set([...text.matchAll(/"((?:[^"\\]|\\.)*)"\s*:/g)].map(([, key]) => key as string)),
];

/** Every field of a value, at any depth. */
export function keysOf(value: unknown, keys = new Set<string>()): Set<string> {
  if (Array.isArray(value)) for (const one of value) keysOf(one, keys);
  else if (typeof value === 'object' && value !== null)
    for (const [key, inner] of Object.entries(value)) keysOf(inner, keys.add(key));
  return keys;
}

/** An output without what differs from run to run: numbers, and how wide columns are. */
export const shapeOf = (output: string): string[] =>
  output
    .trim()
    .split('\n')
    .map((line) =>
      line
        .trim()
        .replaceAll(/\d+(\.\d+)?/g, '0')
        .replaceAll(/\s+/g, ' '),
    );
