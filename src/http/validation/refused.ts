import { Problem } from '../../common/errors.js';

/** Stands in a list for an entry that does not fit its schema: the entry has its own error, and the others are done. */
export class Refused {
  constructor(readonly problem: Problem) {}
}

/** The entries of a list whose schema is `eachOf`. */
export const entriesOf = <Entry>(list: readonly Entry[]): readonly (Entry | Refused)[] => list;

/** A refused entry and the keys that lead to it, as plain data: no class instance leaves its thread. */
export interface Refusal {
  place: (string | number)[];
  problem: Pick<Problem, 'code' | 'detail' | 'extensions'>;
}

/** Takes the refused entries out of a checked value: of a list, or of the lists that are its fields. */
export function takeRefused(value: unknown): Refusal[] {
  if (Array.isArray(value)) return takeFrom(value, []);
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, field]) => (Array.isArray(field) ? takeFrom(field, [name]) : []));
}

function takeFrom(list: unknown[], at: (string | number)[]): Refusal[] {
  const taken: Refusal[] = [];
  list.forEach((entry, i) => {
    if (!(entry instanceof Refused)) return;
    const { code, detail, extensions } = entry.problem;
    taken.push({ place: [...at, i], problem: { code, detail, extensions } });
    list[i] = null;
  });
  return taken;
}

/** Puts refused entries back where they were taken. */
export function putRefused(value: unknown, refusals: readonly Refusal[]): void {
  for (const { place, problem } of refusals) {
    const list = place.slice(0, -1).reduce((inner, key) => (inner as never)[key], value) as unknown[];
    const { code, detail, extensions } = problem;
    list[place.at(-1) as number] = new Refused(new Problem(code, detail, extensions));
  }
}
