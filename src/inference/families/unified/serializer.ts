import type { Frame } from '../../../media/frame.js';
import { maxSequenceTokens, type UnifiedManifest } from '../../../models/manifest.js';
import type { BatchMessage } from '../../worker/protocol.js';
import type { Prepared } from '../family.js';
import { centre, checkLength, framesOf, type Part, textOf } from '../sequence.js';
import { padTexts, TextTokens } from '../text-tokens.js';
import type { Batch, TokenSequence } from './token-sequence.js';

const CHANNELS = 3;

export interface Serialized {
  sequence: TokenSequence;
  /** Text tokens of the sequence. */
  tokens: number;
  /** Whether text was cut at the model's limit. */
  truncated: boolean;
}

/** Text and frames -> the one token sequence that the model reads. */
export class Serializer {
  private constructor(
    private readonly tokens: TextTokens,
    /** Pixels along a patch's edge. */
    private readonly patch: number,
    private readonly maxSequenceTokens: number,
  ) {}

  /** @throws Error when the tokenizer cannot be read */
  static async open(manifest: UnifiedManifest, tokenizerPath: string): Promise<Serializer> {
    const tokens = await TextTokens.open(tokenizerPath, manifest.text.max_tokens);
    return new Serializer(tokens, manifest.patch, maxSequenceTokens(manifest));
  }

  get bytesPerPatch(): number {
    return this.patch * this.patch * CHANNELS;
  }

  /**
   * Parts in their order -> one sequence with the lengths that the queue batches by.
   * @throws Problem `invalid_request` for a sequence without a token, `too_large` for one that does not fit the model
   */
  prepare(parts: readonly Part[]): Prepared<TokenSequence> {
    const { sequence, tokens, truncated } = this.serialize(parts);
    const patchCount = sequence.patches.length / this.bytesPerPatch;
    checkLength(tokens + patchCount, this.maxSequenceTokens);
    return { input: sequence, textLength: tokens, patchCount, truncated };
  }

  /** Parts in their order -> one sequence. The text of all parts together is cut at the model's token limit. */
  serialize(parts: readonly Part[]): Serialized {
    const { ids, truncated } = this.tokens.read(textOf(parts));
    return { sequence: { ids, ...this.toPatches(framesOf(parts)) }, tokens: ids.length, truncated };
  }

  private toPatches(frames: readonly Frame[]): Pick<TokenSequence, 'patches' | 'positions'> {
    const count = frames.reduce((sum, { width, height }) => sum + (width / this.patch) * (height / this.patch), 0);
    const patches = new Uint8Array(count * this.bytesPerPatch);
    const positions = new Float32Array(count * 3);
    let next = 0;
    for (const frame of frames) {
      const [rows, columns] = [frame.height / this.patch, frame.width / this.patch];
      for (let row = 0; row < rows; row++) {
        for (let column = 0; column < columns; column++, next++) {
          this.copyPatch(frame, row, column, patches, next * this.bytesPerPatch);
          positions.set([frame.timeSeconds, ...centre(row, column, rows, columns)], next * 3);
        }
      }
    }
    return { patches, positions };
  }

  /** Copies one patch a row of pixels at a time. */
  private copyPatch(frame: Frame, row: number, column: number, target: Uint8Array, offset: number): void {
    const rowBytes = this.patch * CHANNELS;
    for (let line = 0; line < this.patch; line++) {
      const start = ((row * this.patch + line) * frame.width + column * this.patch) * CHANNELS;
      target.set(frame.rgb.subarray(start, start + rowBytes), offset + line * rowBytes);
    }
  }
}

const COORDINATES = 3;

const patchCount = (sequence: TokenSequence): number => sequence.positions.length / COORDINATES;

/** Pads sequences to one batch. Padding ids are 0; the masks exclude padding ids and padding patches. */
export function collate(sequences: readonly TokenSequence[], bytesPerPatch: number): Batch {
  const size = sequences.length;
  const patches = Math.max(...sequences.map(patchCount));
  const batch: Batch = {
    size,
    patchCount: patches,
    ...padTexts(sequences.map(({ ids }) => ids)),
    patches: new Uint8Array(size * patches * bytesPerPatch),
    positions: new Float32Array(size * patches * COORDINATES),
    patchMask: new Float32Array(size * patches),
  };
  sequences.forEach((sequence, row) => {
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
