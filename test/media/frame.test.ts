import { describe, expect, it } from 'vitest';
import { fitToShape } from '../../src/media/image/fit.js';

describe('the size at which an image is decoded', () => {
  it('is made of whole patches for a model that takes patches', () => {
    expect(fitToShape(3000, 2000, { side: 64, patch: 16 })).toEqual({ width: 64, height: 48 });
    expect(fitToShape(10, 10, { side: 64, patch: 16 })).toEqual({ width: 64, height: 64 });
  });

  it('is kept up to the longest side for a model with a processor of its own', () => {
    expect(fitToShape(640, 480, { maxSide: 1024 })).toEqual({ width: 640, height: 480 });
    expect(fitToShape(1024, 7, { maxSide: 1024 })).toEqual({ width: 1024, height: 7 });
    expect(fitToShape(3000, 2000, { maxSide: 1024 })).toEqual({ width: 1024, height: 683 });
    expect(fitToShape(100_000, 1, { maxSide: 1024 })).toEqual({ width: 1024, height: 1 });
  });
});
