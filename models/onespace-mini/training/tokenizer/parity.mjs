// Proves that tokenizer/encoder.py and @huggingface/tokenizers agree: every
// label, tag and synonym in ten languages, plus strings chosen to be difficult.
//
//   node tokenizer/parity.mjs

import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Tokenizer } from '@huggingface/tokenizers';

const here = path.dirname(fileURLToPath(import.meta.url));
const concepts = JSON.parse(fs.readFileSync(path.join(here, '../work/data/concepts.json'), 'utf8'));
const tokenizer = new Tokenizer(JSON.parse(fs.readFileSync(path.join(here, '../../tokenizer.json'), 'utf8')), {});

const difficult = [
  '',
  ' ',
  'a',
  '  a   cat ',
  'A Red CAR',
  '红色汽车',
  '红色 汽车',
  'a红b色c',
  'ＦＵＬＬ ｗｉｄｔｈ',
  'ﬁne ½ ² Ⅷ',
  'İstanbul ΣΑΣ ß',
  '😀🚗👩‍👩‍👧‍👦',
  '<pad> <unk> <0x41>',
  'e\u0301 é',
  'ทดสอบภาษาไทย',
  'हिन्दी में',
  'العربية',
  '\u0000\u0001',
  '\ud800 lone',
  '𠀀𠀁 ext B',
  'tab\tnew\nline\r\n',
  '1234567890',
  "it's a well-known (trap)!",
  '▁literal▁metaspace',
  '～〜・ー「」',
  '\u200b zero \u200d width \ufeff',
  '\u2028 line \u00a0 nbsp',
  'x'.repeat(500),
  '猫'.repeat(300),
  '[]{}\\^$.*+?|&&',
  '한국어 조선글',
  'ёлка Ё',
  'ǅ ŉ ﷺ',
  '𝒯𝓮𝓈𝓉 ①②③',
  '\u0378 unassigned',
];
const texts = [
  ...concepts.flatMap((c) => [...Object.values(c.text).flat(), ...c.synonyms.train, c.emoji]),
  ...difficult,
];
const python = `
import sys, json; sys.path.insert(0, ${JSON.stringify(path.join(here, '..'))})
from tokenizer.encoder import Tokenizer
t = Tokenizer(${JSON.stringify(path.join(here, '../../tokenizer.json'))})
json.dump([t.encode(x.encode('utf-16', 'surrogatepass').decode('utf-16', 'replace')) for x in json.load(sys.stdin)], sys.stdout)`;
const run = spawnSync(process.env.PYTHON ?? 'python3', ['-c', python], {
  input: JSON.stringify(texts),
  maxBuffer: 1 << 28,
  encoding: 'utf8',
});
if (run.status !== 0) throw new Error(run.stderr);
const expected = JSON.parse(run.stdout);
let different = 0;
texts.forEach((text, i) => {
  const ids = tokenizer.encode(text.toWellFormed?.() ?? text).ids;
  if (JSON.stringify(ids) === JSON.stringify(expected[i])) return;
  if (different++ < 10) console.log('differs:', JSON.stringify(text), ids.slice(0, 12), expected[i].slice(0, 12));
});
const unknown = expected.flat().filter((id) => id === 1).length;
console.log(`${texts.length} strings, ${different} encoded differently, ${unknown} unknown tokens`);
process.exitCode = different || unknown ? 1 : 0;
