import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { lot } from '../../src/rollout/bucket.js';

describe('lot', () => {
  it('draws the same number for the same key, and others for another purpose', () => {
    expect(lot('a key', 'share')).toBe(lot('a key', 'share'));
    expect(lot('a key', 'share')).not.toBe(lot('a key', 'shadow'));
  });

  it('falls below a percentage as often as it says', () => {
    const keys = Array.from({ length: 5000 }, () => randomUUID());
    for (const percent of [1, 10, 50]) {
      const share = keys.filter((key) => lot(key, 'share') < percent).length / keys.length;
      expect(Math.abs(100 * share - percent)).toBeLessThan(2.5);
    }
    expect(keys.some((key) => lot(key, 'share') < 0)).toBe(false);
    expect(keys.every((key) => lot(key, 'share') < 100)).toBe(true);
  });
});
