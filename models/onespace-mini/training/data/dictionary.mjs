// A dictionary of things that can be seen, from WordNet: words that mean the
// same, what they are a kind of, and what they mean. Words meet words in it and are never said of a picture.
//
// Writes work/data/dictionary.json: [{ words, kinds, gloss, near }]; `near`
// marks the senses of our concepts' labels, and the kinds above and right below them.

import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { readFirstSenses, readSenses } from './wordnet.mjs';

const out = path.join(path.dirname(fileURLToPath(import.meta.url)), '..', 'work', 'data');
// animals, artifacts, bodies, food, objects, people, phenomena, plants, shapes, substances
const VISIBLE_TOPICS = new Set([5, 6, 8, 13, 17, 18, 19, 20, 25, 27]);

const concepts = JSON.parse(fs.readFileSync(path.join(out, 'concepts.json'), 'utf8'));
const first = readFirstSenses();
const senses = readSenses();
const plain = (word) => /^[a-z' -]+$/.test(word);

const ours = new Set(concepts.map((c) => first.get(c.text.en[0].toLowerCase())).filter(Boolean));
const above = new Set([...ours].flatMap((id) => senses.get(id).kinds));
const isNear = (id, sense) => ours.has(id) || above.has(id) || sense.kinds.some((kind) => ours.has(kind));

const dictionary = [];
for (const [id, sense] of senses) {
  const near = isNear(id, sense);
  if (!near && !VISIBLE_TOPICS.has(sense.topic)) continue;
  // a word's rarer senses would only confuse it, unless that is the sense we have pictures of
  const isMeant = (word) => first.get(word) === id || (ours.has(id) && !ours.has(first.get(word)));
  const words = sense.words.filter((word) => plain(word) && isMeant(word));
  if (words.length === 0) continue;
  const kinds = sense.kinds.map((kind) => senses.get(kind).words[0]).filter(plain);
  dictionary.push({ words, kinds, gloss: sense.gloss, near });
}
fs.writeFileSync(path.join(out, 'dictionary.json'), JSON.stringify(dictionary));
console.log(`${dictionary.length} senses, ${dictionary.filter((s) => s.near).length} of them near our concepts`);
