import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EncoderPool } from '../../../src/inference/batching/encoder-pool.js';
import type { Part } from '../../../src/inference/encoder.js';
import { openHybrid } from '../../../src/inference/families/hybrid/family.js';
import { collate, type HybridInput, Serializer } from '../../../src/inference/families/hybrid/serializer.js';
import type { Frame } from '../../../src/media/frame.js';
import { type Model, openModel } from '../../../src/models/catalog.js';
import { type HybridManifest, maxSequenceTokens } from '../../../src/models/manifest.js';
import { Metrics } from '../../../src/observability/metrics.js';

const OPTIONS = { modality: 'text', role: 'document', record: () => {} } as const;

let model: Model<HybridManifest>;
let serializer: Serializer;

beforeAll(async () => {
  model = (await openModel('onespace-base', { MODELS_DIR: '', DTYPE: 'fp32' })) as Model<HybridManifest>;
  serializer = await Serializer.open(model.manifest, `${model.dir}/${model.manifest.tokenizer}`);
});

/** A frame of noise that its seed decides. */
function frame(width: number, height: number, seed: number, timeSeconds = 0): Frame {
  const rgb = new Uint8Array(width * height * 3);
  let state = seed + 1;
  for (let i = 0; i < rgb.length; i++) {
    state = (state * 48271) % 2147483647;
    rgb[i] = state >> 8;
  }
  return { width, height, timeSeconds, rgb };
}

const prepared = (...parts: ({ text: string } | { frames: Frame[] })[]): HybridInput => serializer.prepare(parts).input;

describe('Serializer', () => {
  it('puts the marks around a text, and none where there is no text', () => {
    const { begin_id, end_id } = model.manifest.text;
    const { ids } = prepared({ text: '两只狗 on the beach' });
    expect([ids[0], ids.at(-1)]).toEqual([begin_id, end_id]);
    expect(prepared({ frames: [frame(224, 224, 1)] }).ids).toHaveLength(0);
  });

  it('cuts long text so that it fits with its marks', () => {
    const { input, truncated, textLength } = serializer.prepare([{ text: 'dog '.repeat(5_000) }]);
    expect(truncated).toBe(true);
    expect(textLength).toBe(model.manifest.text.max_tokens);
    expect(input.ids.at(-1)).toBe(model.manifest.text.end_id);
  });

  it('counts the cells of a frame and its sum, and refuses more than fit', () => {
    expect(serializer.prepare([{ frames: [frame(224, 160, 1)] }]).patchCount).toBe(7 * 5 + 1);
    const most = maxSequenceTokens(model.manifest);
    const frames = Array.from({ length: Math.ceil((most + 1) / 50) }, (_, k) => frame(224, 224, k, k));
    expect(() => serializer.prepare([{ frames }])).toThrow(expect.objectContaining({ code: 'too_large' }));
    expect(() => serializer.prepare([{ text: ' ' }])).toThrow(expect.objectContaining({ code: 'invalid_request' }));
  });
});

describe('collate', () => {
  it('groups frames by their size, says where their cells belong, and pads what is shorter', () => {
    const clip = prepared({ frames: [frame(64, 64, 1, 0), frame(64, 64, 2, 0.5)] });
    const photo = prepared({ text: 'a dog' }, { frames: [frame(96, 64, 3), frame(64, 64, 4)] });
    const { cellCount, groups, cellMask, positions, textLength, ids } = collate(32, [clip, photo]);
    expect(cellCount).toBe(7 + 5);
    expect(groups.map(({ width, height, offsets }) => [width, height, [...offsets]])).toEqual([
      [64, 64, [0, 5, 12 + 7]],
      [96, 64, [12]],
    ]);
    expect([...cellMask]).toEqual([...Array(10).fill(1), 0, 0, ...Array(12).fill(1)]);
    expect(textLength).toBe(photo.ids.length);
    expect([...ids.subarray(0, textLength)].every((id) => id === 0n)).toBe(true);
    // Places in the clip's second frame: of its first cell, and of its sum, which is the centre.
    expect([...positions.subarray(5 * 3, 6 * 3)]).toEqual([0.5, 0.25, 0.25]);
    expect([...positions.subarray(9 * 3, 10 * 3)]).toEqual([0.5, 0.5, 0.5]);
    // A wide frame: shares of its longer side.
    const [, y, x] = positions.subarray((12 + 6) * 3, (12 + 7) * 3);
    expect([y, x]).toEqual([Math.fround(1 / 3), 0.5]);
  });
});

describe('onespace-base', () => {
  let pool: EncoderPool<HybridInput>;
  beforeAll(async () => {
    const family = await openHybrid(model, { dtype: 'fp32', devices: ['cpu'], threads: 1 });
    const metrics = new Metrics().openModel({ model: 'test@1', name: 'test', revision: '1' });
    const logger = pino({ level: 'silent' });
    const limits = { workers: 1, maxTokens: 4096, maxSize: 64, maxQueue: 512 };
    pool = await EncoderPool.start(family, model.manifest.dim, { ...limits, metrics, logger });
  });
  afterAll(() => pool?.close());

  const encode = async (...parts: object[]) =>
    (await pool.encode(parts as Part[], { ...OPTIONS, signal: new AbortController().signal })).vector;
  const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, x, i) => sum + x * (b[i] as number), 0);

  it('gives unit vectors, in which a sentence lies by its translations', async () => {
    const said = [
      [
        'Two dogs run across the grass.',
        '两只狗在草地上奔跑。',
        'Zwei Hunde rennen über die Wiese.',
        'Две собаки бегут по траве.',
      ],
      ['A man rides a bicycle.', '一个男人骑自行车。', 'Ein Mann fährt Fahrrad.', 'Мужчина едет на велосипеде.'],
    ];
    const [dogs = [], bicycle = []] = await Promise.all(
      said.map((texts) => Promise.all(texts.map((text) => encode({ text })))),
    );
    for (const [k, vector] of dogs.entries()) {
      expect(Math.hypot(...vector)).toBeCloseTo(1, 5);
      const own = dot(vector, dogs[0] as Float32Array);
      if (k > 0) expect(own).toBeGreaterThan(dot(vector, bicycle[0] as Float32Array) + 0.2);
    }
  });

  it('gives every input the vector that it has alone, whatever it is batched with', async () => {
    const inputs = [
      [{ text: 'a dog' }],
      [{ text: 'a much longer sentence about a dog that runs along the beach in the evening' }],
      [{ frames: [frame(224, 224, 1)] }],
      [{ frames: [frame(160, 224, 2)] }],
      [{ frames: [0, 1, 2, 3].map((k) => frame(128, 96, k, k)) }],
      [{ text: 'at night' }, { frames: [frame(224, 160, 3)] }],
    ];
    const alone: Float32Array[] = [];
    for (const input of inputs) alone.push(await encode(...input));
    const together = await Promise.all([...inputs, ...inputs].map((input) => encode(...input)));
    for (const [k, vector] of together.entries())
      expect(dot(vector, alone[k % inputs.length] as Float32Array)).toBeGreaterThan(0.99999);
  });

  it('tells a clip from the same frames in another order', async () => {
    const frames = [0, 1, 2, 3].map((k) => frame(128, 128, k, k));
    const turned = frames.map(({ timeSeconds, ...rest }) => ({ ...rest, timeSeconds: 3 - timeSeconds }));
    expect(dot(await encode({ frames }), await encode({ frames: turned }))).toBeLessThan(0.9999);
  });
});
