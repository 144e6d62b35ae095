// Other English words for a concept, from WordNet: the fellow members of the
// first noun sense of its label. About a third are kept out of training (by a
// hash of the word) to ask the model about words it never saw for the concept.

import { crc32 } from 'node:zlib';
import { readFirstSenses, readSenses } from './wordnet.mjs';

const HELD_OUT_SHARE = 33;

/** [{ train: [...], unseen: [...] }] per concept; unseen words appear in no label or tag of any concept. */
export function loadSynonyms(concepts) {
  const first = readFirstSenses();
  const senses = readSenses();
  const known = new Set(concepts.flatMap((c) => c.text.en.map((t) => t.toLowerCase())));
  return concepts.map((concept) => {
    const label = concept.text.en[0].toLowerCase();
    const words = senses.get(first.get(label))?.words ?? [];
    const fresh = words.filter((w) => !known.has(w) && /^[a-z' -]+$/.test(w));
    const isUnseen = (w) => crc32(`synonym:${w}`) % 100 < HELD_OUT_SHARE;
    return { train: fresh.filter((w) => !isUnseen(w)), unseen: fresh.filter(isUnseen) };
  });
}
