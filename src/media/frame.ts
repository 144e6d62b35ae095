/** One decoded picture, or one sampled moment of a video: the type `media` hands to `encoder`. */
export interface Frame {
  /** Pixels across; a multiple of the patch size. */
  width: number;
  /** Pixels down; a multiple of the patch size. */
  height: number;
  /** Seconds from the start of the clip; 0 for a still. */
  timeSeconds: number;
  /** RGB, 8 bits a channel, row-major, `width * height * 3` bytes. */
  rgb: Uint8Array;
}

/** The size a model wants its frames in. */
export interface FrameShape {
  /** Pixels of the longer side; a multiple of `patch`. */
  side: number;
  /** The shorter side is rounded to a multiple of this. */
  patch: number;
}

/** How many moments of a video a model wants. */
export interface FrameSampling extends FrameShape {
  framesPerSecond: number;
  minFrames: number;
  maxFrames: number;
}

/**
 * The size at which a picture of `width x height` goes to the model: the longer side becomes
 * `side`, the shorter keeps the aspect ratio to the nearest whole patch (at least one), so no
 * patch is padding and the distortion stays below half a patch.
 */
export function fitToPatches(
  width: number,
  height: number,
  { side, patch }: FrameShape,
): { width: number; height: number } {
  const scale = side / Math.max(width, height);
  const fit = (length: number) => Math.max(patch, Math.round((length * scale) / patch) * patch);
  return { width: fit(width), height: fit(height) };
}
