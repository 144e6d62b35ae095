import type { InputPart } from '../inputs/part.js';
import type { Term } from './query-terms.js';

/** The parts twice, for two that each give theirs back: an upload goes when both have. */
export function shareParts(parts: readonly InputPart[]): [InputPart[], InputPart[]] {
  return unzip(parts.map(sharePart));
}

/** The same for the terms of a search. */
export function shareTerms(terms: readonly Term[]): [Term[], Term[]] {
  return unzip(
    terms.map((term): [Term, Term] => {
      if (!('parts' in term)) return [term, term];
      const [one, other] = shareParts(term.parts);
      return [
        { ...term, parts: one },
        { ...term, parts: other },
      ];
    }),
  );
}

function sharePart(part: InputPart): [InputPart, InputPart] {
  if (!('upload' in part)) return [part, part];
  const { upload } = part;
  let holders = 2;
  const copy = (): InputPart => {
    let held = true;
    const dispose = async () => {
      if (!held) return;
      held = false;
      holders--;
      if (holders === 0) await upload.dispose();
    };
    return { ...part, upload: { ...upload, dispose } };
  };
  return [copy(), copy()];
}

const unzip = <One>(pairs: readonly (readonly [One, One])[]): [One[], One[]] => [
  pairs.map(([one]) => one),
  pairs.map(([, other]) => other),
];
