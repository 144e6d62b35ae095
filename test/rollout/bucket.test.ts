import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { bucketOf } from '../../src/rollout/bucket.js';

describe('bucketOf', () => {
  it('draws the same number for the same key, and others for another purpose', () => {
    expect(bucketOf('a key', 'share')).toBe(bucketOf('a key', 'share'));
    expect(bucketOf('a key', 'share')).not.toBe(bucketOf('a key', 'shadow'));
  });

  it('falls below a percentage as often as it says', () => {
    const keys = Array.from({ length: 5000 }, () => randomUUID());
    for (const percent of [1, 10, 50]) {
      const share = keys.filter((key) => bucketOf(key, 'share') < percent).length / keys.length;
      expect(Math.abs(100 * share - percent)).toBeLessThan(2.5);
    }
    expect(keys.some((key) => bucketOf(key, 'share') < 0)).toBe(false);
    expect(keys.every((key) => bucketOf(key, 'share') < 100)).toBe(true);
  });
});
