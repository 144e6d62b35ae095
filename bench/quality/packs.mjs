/**
 * Packs of photographs for an evaluation: NAME.bin is photos one after the other, NAME.json its index,
 *
 *   {"entries_list": [[offset, bytes, label, {"split", "name", "captions"}], ...]}
 *
 * and files NAME.jsonl.gz with captions in more languages, a line for each photo: {"id", "zh": [...], "de": [...]}.
 */
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';

/**
 * The packs in the folders below `data`, and their test photos.
 * @returns {Promise<{ name: string, photos: { bytes: Buffer, label: string, name: string, captions: string[] }[] }[]>}
 */
export async function readPacks(data) {
  const files = (await readdir(data, { recursive: true })).filter((file) => /-\d+\.json$/.test(file));
  const packs = [];
  for (const file of files.sort()) {
    const blob = await readFile(path.join(data, file.replace(/json$/, 'bin'))).catch(() => undefined);
    const { entries_list: entries, format } = JSON.parse(await readFile(path.join(data, file), 'utf8'));
    if (blob === undefined || format === 'mp4') continue;
    const photos = entries
      .filter(([, , , extra]) => extra?.split === 'test')
      .map(([offset, bytes, label, { name, captions = [] }]) => ({
        bytes: blob.subarray(offset, offset + bytes),
        label,
        name,
        captions,
      }));
    if (photos.length > 0) packs.push({ name: path.basename(file).replace(/-\d+\.json$/, ''), photos });
  }
  return packs;
}

/** Captions of photos by name and language, from every file of captions: name -> language -> captions. */
export async function readCaptions(data) {
  const all = new Map();
  const files = (await readdir(data, { recursive: true })).filter((file) => file.endsWith('.jsonl.gz'));
  for (const file of files.sort()) {
    for (const line of gunzipSync(await readFile(path.join(data, file)))
      .toString()
      .trim()
      .split('\n')) {
      const { id, split, ...languages } = JSON.parse(line);
      const of = all.get(id) ?? {};
      for (const [language, captions] of Object.entries(languages))
        of[language] = [...(of[language] ?? []), ...captions];
      all.set(id, of);
    }
  }
  return all;
}
