import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DiskCache, embeddingCodec } from '../../src/embedding/disk-cache.js';

const codec = {
  encode: (text: string) => Buffer.from(text),
  decode: (bytes: Buffer) => (bytes.toString() === 'of another version' ? undefined : bytes.toString()),
};
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'onespace-disk-cache-'));
});
afterEach(() => rm(folder, { recursive: true }));

describe('DiskCache', () => {
  it('keeps its entries when it is closed and opened again', async () => {
    const cache = DiskCache.open(folder, 1e6, codec);
    cache.set('a', 'one');
    await cache.written();
    expect(cache.get('a')).toBe('one');
    expect(cache.get('b')).toBeUndefined();
    await cache.close();
    const again = DiskCache.open(folder, 1e6, codec);
    expect(again.get('a')).toBe('one');
    expect(again.bytes).toBeGreaterThan(0);
    await again.close();
  });

  it('stays within its byte limit, and evicts the least recently used entries', async () => {
    const cache = DiskCache.open(folder, 100_000, codec);
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
    const cache = DiskCache.open(folder, 1e6, codec);
    cache.set('a', 'of another version');
    await cache.written();
    expect(cache.get('a')).toBeUndefined();
    await cache.close();
  });
});

describe('embeddingCodec', () => {
  it('gives back exactly what it was given', () => {
    const vector = Float32Array.from({ length: 256 }, (_, i) => Math.sin(i));
    for (const embedding of [
      { vector, modality: 'video' as const, tokens: 512, truncated: false },
      { vector, modality: 'text' as const, tokens: 64, truncated: true },
    ]) {
      expect(embeddingCodec.decode(embeddingCodec.encode(embedding))).toEqual(embedding);
    }
  });

  it('does not read what another format wrote', () => {
    expect(embeddingCodec.decode(Buffer.from([9, 0, 0, 0, 0, 0, 0, 0]))).toBeUndefined();
    expect(embeddingCodec.decode(Buffer.alloc(0))).toBeUndefined();
  });
});
