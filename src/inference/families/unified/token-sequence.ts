/**
 * Everything is a sequence: the one structure in which text, pictures and video reach the model.
 * A sequence may hold ids only, patches only, or both; they share one transformer.
 */
export interface TokenSequence {
  /** Token ids of the text, `[tokens]`. */
  ids: Int32Array;
  /** 16x16 RGB patches, each row-major, `[patches, patch * patch * 3]`. */
  patches: Uint8Array;
  /**
   * Where each patch lies, `[patches, 3]` as (t, y, x): t in seconds from the start of the clip, y and x
   * the patch's centre as a fraction of the frame's longer side.
   */
  positions: Float32Array;
}

const COORDINATES = 3;

export const textLength = (sequence: TokenSequence): number => sequence.ids.length;
export const patchCount = (sequence: TokenSequence): number => sequence.positions.length / COORDINATES;
/** Tokens the transformer sees: text tokens and patches together. */
export const sequenceLength = (sequence: TokenSequence): number => textLength(sequence) + patchCount(sequence);

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

/** Pads sequences to one batch. Pad ids are 0 and masked out, as is every padded patch. */
export function collate(sequences: readonly TokenSequence[], bytesPerPatch: number): Batch {
  const size = sequences.length;
  const texts = Math.max(...sequences.map(textLength));
  const patches = Math.max(...sequences.map(patchCount));
  const batch: Batch = {
    size,
    textLength: texts,
    patchCount: patches,
    ids: new BigInt64Array(size * texts),
    textMask: new Float32Array(size * texts),
    patches: new Uint8Array(size * patches * bytesPerPatch),
    positions: new Float32Array(size * patches * COORDINATES),
    patchMask: new Float32Array(size * patches),
  };
  // Writing the low words is many times faster than making a BigInt of each id (ids are never negative).
  const idWords = new Int32Array(batch.ids.buffer);
  sequences.forEach((sequence, row) => {
    sequence.ids.forEach((id, column) => {
      idWords[2 * (row * texts + column)] = id;
    });
    batch.textMask.fill(1, row * texts, row * texts + textLength(sequence));
    batch.patches.set(sequence.patches, row * patches * bytesPerPatch);
    batch.positions.set(sequence.positions, row * patches * COORDINATES);
    batch.patchMask.fill(1, row * patches, row * patches + patchCount(sequence));
  });
  return batch;
}
