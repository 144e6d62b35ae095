/**
 * Everything is a sequence: the one structure in which text, images and video reach the model.
 * A sequence holds ids, patches, or both; they share one transformer.
 */
export interface TokenSequence {
  /** Token ids of the text, `[tokens]`. */
  ids: Int32Array;
  /** RGB patches, each row-major, `[patches, patch * patch * 3]`. */
  patches: Uint8Array;
  /**
   * The position of each patch, `[patches, 3]` as (t, y, x): t in seconds from the start of the video, y and x of the
   * patch's centre as fractions of the frame's longer side.
   */
  positions: Float32Array;
}

/** Several sequences padded to one rectangle: the inputs of the `unified` graph. */
export interface Batch {
  size: number;
  textLength: number;
  patchCount: number;
  /** `[size, textLength]` */
  ids: BigInt64Array;
  /** `[size, textLength]`, 1 where there is a token. */
  textMask: Float32Array;
  /** `[size, patchCount, bytesPerPatch]` */
  patches: Uint8Array;
  /** `[size, patchCount, 3]` */
  positions: Float32Array;
  /** `[size, patchCount]`, 1 where there is a patch. */
  patchMask: Float32Array;
}
