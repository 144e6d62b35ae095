import type { RefusedFile } from '../../client/index.js';

/** What became of the files of a folder. */
export interface IndexReport {
  stored: number;
  /** That are as they were when they were stored. */
  unchanged: number;
  /** Whose metadata alone were brought up to date. */
  updated: number;
  /** That have another name than when they were stored. */
  moved: number;
  /** Items whose file is gone. */
  removed: number;
  refused: RefusedFile[];
  /** How many files of other kinds there are, by extension. */
  others: Map<string, number>;
}

export const emptyReport = (): IndexReport => ({
  stored: 0,
  unchanged: 0,
  updated: 0,
  moved: 0,
  removed: 0,
  refused: [],
  others: new Map(),
});

/** `5 stored, 62 unchanged, 0 refused`: what did not happen is left out, but for what everybody asks. */
export function summaryOf(
  { stored, unchanged, updated, moved, removed, refused }: IndexReport,
  { isDryRun }: { isDryRun: boolean },
) {
  const counts = Object.entries({ unchanged, updated, moved, removed }).filter(([, count]) => count > 0);
  const parts = [`${stored} stored`, ...counts.map(([name, count]) => `${count} ${name}`), `${refused.length} refused`];
  return `${isDryRun ? 'would be: ' : ''}${parts.join(', ')}`;
}

/** The report as JSON, for programs. */
export const documentOf = ({ others, ...report }: IndexReport) => ({
  ...report,
  passed_over: Object.fromEntries(others),
});

/** `3 .txt, 1 .html`. */
export const countsOf = (others: ReadonlyMap<string, number>): string =>
  [...others]
    .sort(([nameA, a], [nameB, b]) => b - a || (nameA < nameB ? -1 : 1))
    .map(([extension, count]) => `${count} ${extension}`)
    .join(', ');
