import { describe, expect, it } from 'vitest';
import { embeddingCodec } from '../../src/embedding/embedding.js';

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
