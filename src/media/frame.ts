/** A decoded image, or one sampled frame of a video: what `media` hands to `inference`. */
export interface Frame {
  /** Pixels across. */
  width: number;
  /** Pixels down. */
  height: number;
  /** Seconds from the start of the video; 0 for an image. */
  timeSeconds: number;
  /** RGB, 8 bits a channel, row-major, `width * height * 3` bytes. */
  rgb: Uint8Array;
}

/** The size of a model's frames: whole patches, or bounded for a model with a processor of its own. */
export type FrameShape = PatchShape | BoundedShape;

export interface PatchShape {
  /** Pixels of the longer side; a multiple of `patch`. */
  side: number;
  /** Pixels of a patch's side; the shorter side of a frame is rounded to a multiple of it. */
  patch: number;
}

export interface BoundedShape {
  /** Most pixels of the longer side: larger images are shrunk, smaller ones keep their size. */
  maxSide: number;
}

/** How many frames of a video a model takes, and of which size. */
export type FrameSampling = FrameShape & {
  framesPerSecond: number;
  minFrames: number;
  maxFrames: number;
};

/** In pixels. */
export interface Size {
  width: number;
  height: number;
}
