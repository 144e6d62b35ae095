import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ColdCache } from '../../src/embedding/disk-cache.js';

const codec = {
  encode: (text: string) => Buffer.from(text),
  decode: (bytes: Buffer) => (bytes.toString() === 'of another version' ? undefined : bytes.toString()),
};
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'onespace-cold-'));
});
afterEach(() => rm(folder, { recursive: true }));

describe('ColdCache', () => {
  it('keeps its entries when it is closed and opened again', async () => {
    const cache = ColdCache.open(folder, 1e6, codec);
    cache.set('a', 'one');
    await cache.written();
    expect(cache.get('a')).toBe('one');
    expect(cache.get('b')).toBeUndefined();
    await cache.close();
    const again = ColdCache.open(folder, 1e6, codec);
    expect(again.get('a')).toBe('one');
    expect(again.bytes).toBeGreaterThan(0);
    await again.close();
  });

  it('stays within its byte limit, and evicts the least recently used entries', async () => {
    const cache = ColdCache.open(folder, 100_000, codec);
    cache.set('used', 'x'.repeat(1000));
    cache.set('unused', 'x'.repeat(1000));
    await cache.written();
    for (let i = 0; i < 300; i++) {
      cache.set(`filler ${i}`, 'x'.repeat(1000));
      expect(cache.get('used')).toHaveLength(1000);
      expect(cache.bytes).toBeLessThanOrEqual(100_000);
      await cache.written();
    }
    expect(cache.get('unused')).toBeUndefined();
    await cache.close();
  });

  it('ignores records it cannot read', async () => {
    const cache = ColdCache.open(folder, 1e6, codec);
    cache.set('a', 'of another version');
    await cache.written();
    expect(cache.get('a')).toBeUndefined();
    await cache.close();
  });
});
