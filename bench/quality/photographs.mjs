/**
 * Does a model find photographs by sentences, and sentences by photographs? Asked through the service, as served.
 *
 *   npm run build && node bench/quality/photographs.mjs --data FOLDER [--gallery 1000] [--sheet sheet.png]
 *
 * The folder has packs of photographs (packs.mjs); MODEL, MODELS_DIR and DTYPE choose the model. Only test photos are
 * used. Printed for each pack: captions -> photos and back, names of classes -> photos and back, photos of one class
 * among the neighbours of each other; then captions -> photos for each language that the captions have.
 */
import { parseArgs } from 'node:util';
import { startService } from '../service.mjs';
import { printTable } from '../table.mjs';
import { writeContactSheet } from './contact-sheet.mjs';
import { readCaptions, readPacks } from './packs.mjs';
import { precisionAt, recallAt } from './ranks.mjs';

const { values } = parseArgs({
  options: { data: { type: 'string' }, gallery: { type: 'string', default: '1000' }, sheet: { type: 'string' } },
});
if (values.data === undefined) throw new Error('--data: the folder of the packs');
const GALLERY = Number(values.gallery);
const CONCURRENCY = 4;
const TEXTS_PER_REQUEST = 64;
const KS = [1, 5, 10];
/** Fewer queries say little. */
const MIN_QUERIES = 40;

const service = await startService();

async function post(route, type, body) {
  const reply = await fetch(service.url + route, { method: 'POST', headers: { 'content-type': type }, body });
  if (!reply.ok) throw new Error(`${route}: ${reply.status} ${await reply.text()}`);
  return reply.json();
}

/** Some at a time, results in order. */
async function inParallel(list, task) {
  const results = [];
  let next = 0;
  const worker = async () => {
    while (next < list.length) {
      const i = next++;
      results[i] = await task(list[i]);
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, worker));
  return results;
}

const embedPhotos = (photos) =>
  inParallel(photos, async ({ bytes }) =>
    Float32Array.from((await post('/embed/image', 'image/webp', bytes)).embedding),
  );

async function embedTexts(texts) {
  const parts = [];
  for (let i = 0; i < texts.length; i += TEXTS_PER_REQUEST) parts.push(texts.slice(i, i + TEXTS_PER_REQUEST));
  const replies = await inParallel(parts, (text) =>
    post('/embed/text', 'application/json', JSON.stringify({ text, role: 'query' })),
  );
  return replies.flatMap(({ results }) => results.map(({ embedding }) => Float32Array.from(embedding)));
}

/** Captions and the place of the photo of each. */
const asked = (captionsOf, photos) =>
  photos.flatMap((photo, place) => captionsOf(photo).map((caption) => ({ caption, place })));

async function byCaption(photos, vectors, captionsOf) {
  const queries = asked(captionsOf, photos);
  const texts = await embedTexts(queries.map(({ caption }) => caption));
  const toPhoto = recallAt(KS, texts, vectors, (query, place) => queries[query].place === place);
  const toCaption = () => recallAt([10], vectors, texts, (photo, caption) => queries[caption].place === photo)[0];
  return { queries: queries.length, toPhoto, toCaption };
}

const atK = (name, found) => Object.fromEntries(KS.map((k, i) => [`${name} R@${k}`, found[i]]));

const packs = await readPacks(values.data);
const captions = await readCaptions(values.data);
const health = await (await fetch(`${service.url}/health`)).json();
console.log(`model ${health.model.name}, revision ${health.model.revision}`);

const [captioned, named, languages] = [[], [], []];
const galleries = [];
for (const { name, photos: all } of packs) {
  const photos = all.slice(0, GALLERY);
  const vectors = await embedPhotos(photos);
  galleries.push({ name, photos, vectors });
  const queries = asked((photo) => photo.captions, photos);
  if (queries.length >= MIN_QUERIES) {
    const shown = photos.map((photo, i) => [photo, vectors[i]]).filter(([photo]) => photo.captions.length > 0);
    const found = await byCaption(
      shown.map(([photo]) => photo),
      shown.map(([, vector]) => vector),
      (photo) => photo.captions,
    );
    captioned.push({
      pack: name,
      photos: shown.length,
      captions: found.queries,
      ...atK('photo', found.toPhoto),
      'caption R@10': found.toCaption(),
    });
  }
  const labels = [...new Set(photos.map(({ label }) => label))].filter((label) => label !== '');
  if (labels.length > 1) {
    const names = await embedTexts(labels);
    const isOf = (photo, label) => photos[photo].label === labels[label];
    const [byName] = recallAt([10], names, vectors, (label, photo) => isOf(photo, label));
    const [top1, top5] = recallAt([1, 5], vectors, names, isOf);
    const alike = precisionAt(10, vectors, (a, b) => photos[a].label === photos[b].label);
    named.push({
      pack: name,
      photos: photos.length,
      classes: labels.length,
      'name -> photo R@10': byName,
      'photo -> name top-1': top1,
      'top-5': top5,
      'photo -> photo P@10': alike,
    });
  }
  const spoken = new Set(photos.flatMap(({ name: id }) => Object.keys(captions.get(id) ?? {})));
  for (const language of [...spoken].sort()) {
    const captionsOf = (photo) => captions.get(photo.name)?.[language] ?? [];
    if (asked(captionsOf, photos).length < MIN_QUERIES) continue;
    const found = await byCaption(photos, vectors, captionsOf);
    languages.push({
      pack: name,
      language,
      photos: photos.length,
      captions: found.queries,
      ...atK('photo', found.toPhoto),
    });
  }
}

if (captioned.length > 0) printTable('Captions and photographs', captioned);
if (languages.length > 0) printTable('Captions in each language', languages);
if (named.length > 0) printTable('Names of classes', named);
if (values.sheet !== undefined) await writeContactSheet(values.sheet, galleries, embedTexts);
await service.stop();
