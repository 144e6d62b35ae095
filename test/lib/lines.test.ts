import fc from 'fast-check';
import { expect, it } from 'vitest';
import { linesOf } from '../../src/lib/lines.js';

async function* inChunks(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}
async function read(text: string, size: number): Promise<string[]> {
  const lines: string[] = [];
  for await (const line of linesOf(inChunks(new TextEncoder().encode(text), size))) lines.push(line);
  return lines;
}

it('splits at line feeds alone, wherever chunks end', async () => {
  const line = fc.string({ unit: fc.constantFrom('a', 'é', '汉', '🦉', '\u2028', '\u2029', '\u0085', '\v', ' ') });
  await fc.assert(
    fc.asyncProperty(fc.array(line), fc.integer({ min: 1, max: 9 }), async (lines, size) => {
      expect(await read(lines.map((text) => `${text}\n`).join(''), size)).toEqual(lines);
    }),
  );
});

it('reads a last line without an end, and lines that end in \\r\\n', async () => {
  expect(await read('one\r\n\r\ntwo', 2)).toEqual(['one', '', 'two']);
  expect(await read('', 1)).toEqual([]);
});
