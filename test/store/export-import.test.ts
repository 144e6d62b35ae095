import { expect, it } from 'vitest';
import { exportLines, importLines } from '../../src/store/export-import.js';
import { openFaissStore } from '../../src/store/faiss/store.js';
import type { Item } from '../../src/store/vector-store.js';
import { BINDING, randomFrom, randomItem, recorder, tempDir } from './support.js';

const open = async () => openFaissStore({ dir: await tempDir(), binding: BINDING, logger: recorder().logger });

async function* linesOf(text: string): AsyncGenerator<string> {
  yield* text.split('\n');
}

async function textOf(lines: AsyncIterable<string>): Promise<string> {
  let text = '';
  for await (const line of lines) text += line;
  return text;
}

it('what is exported and imported is the same, bit for bit, and exports the same text', async () => {
  const random = randomFrom(2);
  const [from, to] = [await open(), await open()];
  const items: Item[] = Array.from({ length: 1234 }, (_, i) => randomItem(random, `红-"${i}\n`));
  for (let at = 0; at < items.length; at += 500) await from.upsert(items.slice(at, at + 500));
  const text = await textOf(exportLines(from));
  const progress: number[] = [];
  expect(await importLines(to, linesOf(text), (stored) => progress.push(stored))).toBe(1234);
  expect(progress).toEqual([...Array.from({ length: 12 }, (_, i) => 100 * (i + 1)), 1234]);
  for (const item of items) expect(await to.get(item.id)).toEqual(item);
  expect(await textOf(exportLines(to))).toBe(text);
  await Promise.all([from.close(), to.close()]);
});

it.each([
  ['is not JSON', '{"id":'],
  ['is no object', '7'],
  ['has no vector', '{"id":"a","modality":"text","metadata":{}}'],
])('a line that %s is named', async (_, line) => {
  const store = await open();
  await expect(importLines(store, linesOf(`\n\n${line}`))).rejects.toMatchObject({
    code: 'invalid_request',
    extensions: { line: 3 },
  });
  await store.close();
});
