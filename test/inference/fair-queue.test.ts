import { describe, expect, it } from 'vitest';
import { Lanes } from '../../src/inference/batching/fair-queue.js';

const text = (textLength: number) => ({ textLength, patchCount: 0 });
const video = (patchCount: number) => ({ textLength: 0, patchCount });
const limits = { maxTokens: 256, maxSize: 8 };

function laneOf(...jobs: { textLength: number; patchCount: number }[]) {
  const lanes = new Lanes<{ textLength: number; patchCount: number }>();
  for (const job of jobs) lanes.add(job);
  return lanes;
}

describe('Lanes', () => {
  it('gives jobs of like length together, oldest first, and nothing when empty', () => {
    const [first, second] = [text(5), text(7)];
    const lanes = laneOf(first, video(128), second);
    expect(lanes.take(limits)).toEqual([first, second]);
    expect(lanes.take(limits)).toEqual([video(128)]);
    expect(lanes.take(limits)).toEqual([]);
    expect(lanes.length).toBe(0);
  });

  it('never mixes text with pixels in one batch: each would pad to the other', () => {
    const lanes = laneOf(text(16), video(16), { textLength: 16, patchCount: 16 });
    expect([1, 2, 3].map(() => lanes.take(limits).length)).toEqual([1, 1, 1]);
  });

  it('keeps a batch within the token budget, padding counted, and within the size limit', () => {
    const lanes = laneOf(video(100), video(100), video(100));
    expect(lanes.take(limits)).toHaveLength(2);
    const texts = laneOf(...Array.from({ length: 20 }, () => text(1)));
    expect(texts.take(limits)).toHaveLength(limits.maxSize);
    // 15 texts of one token and one of 16: the padded cost decides, not the sum.
    const mixed = laneOf(text(16), ...Array.from({ length: 15 }, () => text(1)));
    expect(mixed.take({ maxTokens: 64, maxSize: 64 })).toHaveLength(4);
  });

  it('lets one job longer than the budget go alone', () => {
    const lanes = laneOf(video(512), video(512));
    expect(lanes.take(limits)).toHaveLength(1);
    expect(lanes.take(limits)).toHaveLength(1);
  });

  it('takes turns by work: a text never waits for more than one batch of videos', () => {
    const lanes = laneOf(...Array.from({ length: 50 }, () => video(128)));
    lanes.take(limits);
    for (let round = 0; round < 10; round++) {
      lanes.add(text(4));
      const turns = [lanes.take(limits), lanes.take(limits)];
      expect(turns.some((batch) => batch[0]?.textLength === 4)).toBe(true);
    }
  });

  it('does not let a stream of texts starve a video', () => {
    const lanes = laneOf(video(128));
    let batches = 0;
    for (; lanes.length > 0 && batches < 1000; batches++) {
      for (let i = 0; i < 8; i++) lanes.add(text(16));
      if (lanes.take(limits)[0]?.patchCount === 128) break;
    }
    expect(batches).toBeLessThan(5);
  });

  it('knows whether the next batch may still grow', () => {
    const lanes = laneOf(video(100));
    expect(lanes.hasFullBatch(limits)).toBe(false);
    lanes.add(video(100));
    expect(lanes.hasFullBatch(limits)).toBe(false);
    lanes.add(video(100));
    expect(lanes.hasFullBatch(limits)).toBe(true);
    lanes.take(limits);
    expect(lanes.hasFullBatch(limits)).toBe(false);
    expect(laneOf(...Array.from({ length: limits.maxSize }, () => text(1))).hasFullBatch(limits)).toBe(true);
    expect(laneOf().hasFullBatch(limits)).toBe(false);
  });

  it('forgets a job that was removed', () => {
    const [gone, kept] = [text(3), text(4)];
    const lanes = laneOf(gone, kept);
    expect(lanes.remove(gone)).toBe(true);
    expect(lanes.remove(gone)).toBe(false);
    expect(lanes.take(limits)).toEqual([kept]);
  });
});
