import type { BoundedShape, FrameShape, PatchShape, Size } from '../frame.js';

/**
 * The size at which an image or video of `width x height` pixels is decoded.
 *
 * - `PatchShape`: the longer side becomes `side`, the shorter one keeps the aspect ratio to the nearest whole patch (at
 *   least one), so no patch is padding and the distortion stays below half a patch.
 * - `BoundedShape`: the longer side becomes at most `maxSide`; the aspect ratio is kept to the nearest pixel.
 */
export const fitToShape = (width: number, height: number, shape: FrameShape): Size =>
  'maxSide' in shape ? fitWithin(width, height, shape) : fitToPatches(width, height, shape);

function fitWithin(width: number, height: number, { maxSide }: BoundedShape): Size {
  const scale = Math.min(1, maxSide / Math.max(width, height));
  const fit = (length: number) => Math.max(1, Math.round(length * scale));
  return { width: fit(width), height: fit(height) };
}

function fitToPatches(width: number, height: number, { side, patch }: PatchShape): Size {
  const scale = side / Math.max(width, height);
  const fit = (length: number) => Math.max(patch, Math.round((length * scale) / patch) * patch);
  return { width: fit(width), height: fit(height) };
}
