import { describe, expect, it } from 'vitest';
import { BufferPool } from '../../src/lib/buffer-pool.js';

describe('BufferPool', () => {
  it.each([0, 1, 65_536, 65_537, 80_000, 1e6, 2_730_791, 50e6])(
    'returns a buffer of at least %d bytes, and at most a quarter more',
    (bytes) => {
      const { length } = new BufferPool(0).take(bytes);
      expect(length).toBeGreaterThanOrEqual(bytes);
      expect(length).toBeLessThanOrEqual(Math.max(131_072, bytes * 1.25));
    },
  );

  it('gives a buffer to one owner at a time, and reuses it once it is returned', () => {
    const pool = new BufferPool(1e6);
    const first = pool.take(100_000);
    expect(pool.take(100_000)).not.toBe(first);
    pool.giveBack(first);
    expect(pool.take(101_000)).toBe(first);
    expect(pool.take(101_000)).not.toBe(first);
  });

  it('keeps at most the free bytes it is limited to', () => {
    const pool = new BufferPool(150_000);
    const [one, other] = [pool.take(100_000), pool.take(100_000)];
    pool.giveBack(one);
    pool.giveBack(other);
    expect(pool.take(100_000)).toBe(one);
    expect(pool.take(100_000)).not.toBe(other);
  });
});
