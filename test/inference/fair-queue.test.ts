import { describe, expect, it } from 'vitest';
import { FairQueue } from '../../src/inference/batching/fair-queue.js';

const text = (textLength: number) => ({ textLength, patchCount: 0 });
const video = (patchCount: number) => ({ textLength: 0, patchCount });
const limits = { maxTokens: 256, maxSize: 8 };

function queueOf(...jobs: { textLength: number; patchCount: number }[]) {
  const queue = new FairQueue<{ textLength: number; patchCount: number }>();
  for (const job of jobs) queue.add(job);
  return queue;
}

describe('FairQueue', () => {
  it('returns jobs of similar length together, oldest first, and nothing when empty', () => {
    const [first, second] = [text(5), text(7)];
    const queue = queueOf(first, video(128), second);
    expect(queue.take(limits)).toEqual([first, second]);
    expect(queue.take(limits)).toEqual([video(128)]);
    expect(queue.take(limits)).toEqual([]);
    expect(queue.length).toBe(0);
  });

  it('never mixes text with pixels in one batch: each would pad to the other', () => {
    const queue = queueOf(text(16), video(16), { textLength: 16, patchCount: 16 });
    expect([1, 2, 3].map(() => queue.take(limits).length)).toEqual([1, 1, 1]);
  });

  it('keeps a batch within the token budget, padding counted, and within the size limit', () => {
    const queue = queueOf(video(100), video(100), video(100));
    expect(queue.take(limits)).toHaveLength(2);
    const texts = queueOf(...Array.from({ length: 20 }, () => text(1)));
    expect(texts.take(limits)).toHaveLength(limits.maxSize);
    // 15 texts of one token and one of 16: the padded cost decides, not the sum.
    const mixed = queueOf(text(16), ...Array.from({ length: 15 }, () => text(1)));
    expect(mixed.take({ maxTokens: 64, maxSize: 64 })).toHaveLength(4);
  });

  it('runs one job longer than the budget in a batch of its own', () => {
    const queue = queueOf(video(512), video(512));
    expect(queue.take(limits)).toHaveLength(1);
    expect(queue.take(limits)).toHaveLength(1);
  });

  it('serves buckets by work: a text never waits for more than one batch of videos', () => {
    const queue = queueOf(...Array.from({ length: 50 }, () => video(128)));
    queue.take(limits);
    for (let round = 0; round < 10; round++) {
      queue.add(text(4));
      const batches = [queue.take(limits), queue.take(limits)];
      expect(batches.some((batch) => batch[0]?.textLength === 4)).toBe(true);
    }
  });

  it('does not let a stream of texts starve a video', () => {
    const queue = queueOf(video(128));
    let batches = 0;
    for (; queue.length > 0 && batches < 1000; batches++) {
      for (let i = 0; i < 8; i++) queue.add(text(16));
      if (queue.take(limits)[0]?.patchCount === 128) break;
    }
    expect(batches).toBeLessThan(5);
  });

  it('knows whether the next batch may still grow', () => {
    const queue = queueOf(video(100));
    expect(queue.hasFullBatch(limits)).toBe(false);
    queue.add(video(100));
    expect(queue.hasFullBatch(limits)).toBe(false);
    queue.add(video(100));
    expect(queue.hasFullBatch(limits)).toBe(true);
    queue.take(limits);
    expect(queue.hasFullBatch(limits)).toBe(false);
    expect(queueOf(...Array.from({ length: limits.maxSize }, () => text(1))).hasFullBatch(limits)).toBe(true);
    expect(queueOf().hasFullBatch(limits)).toBe(false);
  });

  it('lets jobs wait for others that may, until there are enough, one may not, or their time is over', () => {
    const large = { maxTokens: 4096, maxSize: 64 };
    const patient = (untilMs: number) => ({ ...text(4), waitsUntilMs: untilMs });
    const queue = queueOf(patient(100), patient(120));
    expect(queue.take(large, 50)).toEqual([]);
    expect(queue.patienceEndsMs).toBe(100);
    expect(queue.take(large, 100)).toHaveLength(2);
    expect(queue.patienceEndsMs).toBeUndefined();

    for (let i = 0; i < 7; i++) queue.add(patient(100));
    expect(queue.take(large, 50)).toEqual([]);
    queue.add(patient(100));
    expect(queue.take(large, 50)).toHaveLength(8);

    queue.add(patient(100));
    queue.add(text(4));
    expect(queue.take(large, 50)).toHaveLength(2);
  });

  it('serves the jobs that do not wait while others do, and small batches where no more fit', () => {
    const patient = (patchCount: number) => ({ ...video(patchCount), waitsUntilMs: 100 });
    const queue = queueOf(patient(128), text(4));
    expect(queue.take(limits, 50)).toEqual([text(4)]);
    expect(queue.take(limits, 50)).toEqual([]);
    for (let i = 0; i < 2; i++) queue.add(patient(128));
    expect(queue.take(limits, 50)).toHaveLength(2);
    expect(queue.take(limits)).toHaveLength(1);
  });

  it('does not return a job that was removed', () => {
    const [removed, kept] = [text(3), text(4)];
    const queue = queueOf(removed, kept);
    expect(queue.remove(removed)).toBe(true);
    expect(queue.remove(removed)).toBe(false);
    expect(queue.take(limits)).toEqual([kept]);
  });
});
