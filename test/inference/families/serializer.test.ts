import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { Tokenizer } from '@huggingface/tokenizers';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { collate, Serializer } from '../../../src/inference/families/unified/serializer.js';
import { openModel } from '../../../src/models/catalog.js';
import type { UnifiedManifest } from '../../../src/models/manifest.js';

let serializer: Serializer;
let maxTokens: number;
let tokenizer: Tokenizer;

beforeAll(async () => {
  const model = await openModel('onespace-mini', { MODELS_DIR: '', DTYPE: 'fp32' });
  const manifest = model.manifest as UnifiedManifest;
  maxTokens = manifest.text.max_tokens;
  const file = path.join(model.dir, manifest.tokenizer);
  serializer = await Serializer.open(manifest, file);
  tokenizer = new Tokenizer(JSON.parse(await readFile(file, 'utf8')), {});
});

/** A frame whose pixels encode their position. */
function gradient(width: number, height: number, timeSeconds = 0) {
  const rgb = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) rgb.set([x, y, 7], (y * width + x) * 3);
  return { width, height, timeSeconds, rgb };
}

describe('Serializer', () => {
  it('turns text into ids, which do not depend on white space', () => {
    const { sequence, tokens, truncated } = serializer.serialize([{ text: 'a red car' }]);
    expect(tokens).toBeGreaterThan(0);
    expect(tokens).toBe(sequence.ids.length);
    expect(truncated).toBe(false);
    expect(serializer.serialize([{ text: '  a\n red\tcar ' }]).sequence.ids).toEqual(sequence.ids);
    expect(serializer.serialize([{ text: '红色汽车' }]).tokens).toBeGreaterThan(0);
  });

  it('gives no token for blank text', () => {
    expect(serializer.serialize([{ text: ' \n ' }]).tokens).toBe(0);
  });

  it('cuts long text at the limit and reports it', () => {
    const long = serializer.serialize([{ text: 'cat '.repeat(100_000) }]);
    expect(long).toMatchObject({ tokens: maxTokens, truncated: true });
    expect(serializer.serialize([{ text: 'cat '.repeat(maxTokens) }]).truncated).toBe(false);
  });

  it('gives long text the ids of the whole text, though it tokenizes its first words alone', () => {
    const anyWords = fc.array(
      fc.oneof(fc.string({ unit: 'grapheme', maxLength: 30 }), fc.constant('红色汽车 狗'), fc.lorem()),
      {
        minLength: 60,
        maxLength: 120,
      },
    );
    fc.assert(
      fc.property(anyWords, (words) => {
        const text = words.join(' ');
        const whole = tokenizer.encode(text.replace(/\s+/g, ' ').trim(), { add_special_tokens: false }).ids;
        expect([...serializer.serialize([{ text }]).sequence.ids]).toEqual(whole.slice(0, maxTokens));
      }),
      { numRuns: 200, seed: 20_261_127 },
    );
  });

  it('gives a word without end, after others too, the ids of the whole word', () => {
    const letters = fc.oneof(
      fc.string({ unit: fc.constantFrom(...'aabcdefghijklmnopqrstuvwxyz'), minLength: 20, maxLength: 40 }),
      fc.string({ unit: 'grapheme', minLength: 20, maxLength: 40 }).map((text) => text.replace(/\s/g, '')),
      fc.constantFrom(
        'aaaaaaaaaaaaaaaaaaaa',
        'internationalisation',
        '😀😀😀😀😀😀😀😀',
        'ééééééééééééé',
        '狗猫',
        'ﷺﷺﷺ',
      ),
    );
    const before = fc.array(fc.stringMatching(/^[a-z]{1,8}$/), { maxLength: 60 });
    fc.assert(
      fc.property(before, fc.array(letters, { minLength: 30, maxLength: 90 }), (words, pieces) => {
        const text = [...words, pieces.join('')].join(' ');
        const whole = tokenizer.encode(text, { add_special_tokens: false }).ids;
        expect([...serializer.serialize([{ text }]).sequence.ids]).toEqual(whole.slice(0, maxTokens));
      }),
      { numRuns: 300, seed: 20_261_127 },
    );
  });

  it('cuts a frame into 16x16 patches, rows first, each pixel in its place', () => {
    const { sequence } = serializer.serialize([{ frames: [gradient(48, 32)] }]);
    expect(sequence.patches).toHaveLength(6 * 768);
    // Patch 4 is row 1, column 1; its pixel (row 2, column 3) is x=19, y=18 of the frame.
    const pixel = 4 * 768 + (2 * 16 + 3) * 3;
    expect([...sequence.patches.subarray(pixel, pixel + 3)]).toEqual([19, 18, 7]);
  });

  it('places patches by their centre as a fraction of the longer side, with the time of their frame', () => {
    const { sequence } = serializer.serialize([{ frames: [gradient(32, 16), gradient(32, 16, 1.5)] }]);
    expect([...sequence.positions]).toEqual([...[0, 0.25, 0.25, 0, 0.25, 0.75], ...[1.5, 0.25, 0.25, 1.5, 0.25, 0.75]]);
  });

  it('makes one sequence of text and frames together', () => {
    const { sequence } = serializer.serialize([{ text: 'a cat' }, { frames: [gradient(16, 16)] }]);
    expect(sequence.ids.length).toBeGreaterThan(0);
    expect(sequence.positions).toHaveLength(3);
  });
});

describe('collate', () => {
  it('pads to the longest and masks what is padding', () => {
    const [short, long] = ['cat', 'a red car'].map((text) => serializer.serialize([{ text }]).sequence);
    const image = serializer.serialize([{ frames: [gradient(16, 16)] }]).sequence;
    const batch = collate([short, long, image] as never, 768);
    const width = long?.ids.length ?? 0;
    expect(batch).toMatchObject({ size: 3, textLength: width, patchCount: 1 });
    expect([...batch.ids].map(Number).slice(width, 2 * width)).toEqual([...(long?.ids ?? [])]);
    expect([...batch.textMask.subarray(0, width)]).toEqual(
      Array.from({ length: width }, (_, i) => (i < (short?.ids.length ?? 0) ? 1 : 0)),
    );
    expect([...batch.patchMask]).toEqual([0, 0, 1]);
  });
});
