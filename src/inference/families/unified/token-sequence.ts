import type { BatchMessage } from '../../worker/protocol.js';

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

const COORDINATES = 3;

const textLength = (sequence: TokenSequence): number => sequence.ids.length;
const patchCount = (sequence: TokenSequence): number => sequence.positions.length / COORDINATES;

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

/** Pads sequences to one batch. Padding ids are 0; the masks exclude padding ids and padding patches. */
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
  // Ids are not negative, so writing their low words suffices, and no BigInt is made of each id.
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

/** Sequences as one message to a worker; the new buffers move there. */
export function collateMessage(bytesPerPatch: number, sequences: readonly TokenSequence[]): BatchMessage {
  const batch = collate(sequences, bytesPerPatch);
  const { ids, textMask, patches, positions, patchMask } = batch;
  const transfer = [ids, textMask, patches, positions, patchMask].map((array) => array.buffer as ArrayBuffer);
  return { batch, transfer };
}
