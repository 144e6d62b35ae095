import { describe, expect, it } from 'vitest';
import { RecycledMemory } from '../../src/lib/buffer-pool.js';

describe('recycled memory', () => {
  it.each([0, 1, 65_536, 65_537, 80_000, 1e6, 2_730_791, 50e6])(
    'has room for %d bytes, and a quarter more at most',
    (bytes) => {
      const { length } = new RecycledMemory(0).take(bytes);
      expect(length).toBeGreaterThanOrEqual(bytes);
      expect(length).toBeLessThanOrEqual(Math.max(131_072, bytes * 1.25));
    },
  );

  it('gives a buffer to one at a time, and to the next one when it comes back', () => {
    const memory = new RecycledMemory(1e6);
    const first = memory.take(100_000);
    expect(memory.take(100_000)).not.toBe(first);
    memory.giveBack(first);
    expect(memory.take(101_000)).toBe(first);
    expect(memory.take(101_000)).not.toBe(first);
  });

  it('keeps no more than it may', () => {
    const memory = new RecycledMemory(150_000);
    const [one, other] = [memory.take(100_000), memory.take(100_000)];
    memory.giveBack(one);
    memory.giveBack(other);
    expect(memory.take(100_000)).toBe(one);
    expect(memory.take(100_000)).not.toBe(other);
  });
});
