import { readFile } from 'node:fs/promises';
import { Tokenizer } from '@huggingface/tokenizers';
import { Problem } from '../../../common/errors.js';
import type { Frame } from '../../../media/frame.js';
import { maxSequenceTokens, type UnifiedManifest } from '../../../models/manifest.js';
import type { BatchMessage } from '../../worker/protocol.js';
import type { Prepared } from '../family.js';
import type { Batch, TokenSequence } from './token-sequence.js';

const CHANNELS = 3;
/**
 * A token of any vocabulary is shorter than this, so text beyond `max_tokens` times it cannot reach the model. Cutting
 * there bounds the time that a megabyte of text takes, and changes nothing else.
 */
const MAX_CHARACTERS_PER_TOKEN = 64;

/** More than a token usually has: so much text fills the model. */
const USUAL_CHARACTERS_PER_TOKEN = 8;

/** Text, or frames whose sides are multiples of the patch. */
type Part = { text: string } | { frames: readonly Frame[] };

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
    private readonly tokenizer: Tokenizer,
    /** Pixels along a patch's edge. */
    private readonly patch: number,
    private readonly maxTextTokens: number,
    private readonly maxSequenceTokens: number,
  ) {}

  /** @throws Error when the tokenizer cannot be read */
  static async open(manifest: UnifiedManifest, tokenizerPath: string): Promise<Serializer> {
    const tokenizer = new Tokenizer(JSON.parse(await readFile(tokenizerPath, 'utf8')), {});
    return new Serializer(tokenizer, manifest.patch, manifest.text.max_tokens, maxSequenceTokens(manifest));
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
    const length = tokens + patchCount;
    if (length === 0) throw new Problem('invalid_request', 'The text is empty: it has no token to embed.');
    if (length > this.maxSequenceTokens) {
      const detail = `The input is a sequence of ${length} tokens; at most ${this.maxSequenceTokens} fit. Send fewer parts.`;
      throw new Problem('too_large', detail, { tokens: length, limit_tokens: this.maxSequenceTokens });
    }
    return { input: sequence, textLength: tokens, patchCount, truncated };
  }

  /** Parts in their order -> one sequence. The text of all parts together is cut at the model's token limit. */
  serialize(parts: readonly Part[]): Serialized {
    const { ids, truncated } = this.tokenize(parts.flatMap((part) => ('text' in part ? [part.text] : [])).join('\n'));
    const frames = parts.flatMap((part) => ('frames' in part ? part.frames : []));
    return { sequence: { ids, ...this.toPatches(frames) }, tokens: ids.length, truncated };
  }

  private tokenize(text: string): { ids: Int32Array; truncated: boolean } {
    const maxCharacters = this.maxTextTokens * MAX_CHARACTERS_PER_TOKEN;
    const compact = text
      .trimStart()
      .slice(0, 8 * maxCharacters)
      .replace(/\s+/g, ' ')
      .trim();
    if (compact === '') return { ids: new Int32Array(0), truncated: false };
    const ids = this.firstTokens(compact.slice(0, maxCharacters));
    const truncated = ids.length > this.maxTextTokens || compact.length > maxCharacters;
    return { ids: Int32Array.from(ids.slice(0, this.maxTextTokens)), truncated };
  }

  /**
   * All tokens of a text, or, where its beginning has more than the model takes, those of its beginning: tokenizing takes
   * a time that grows with the text. Each word is tokenized on its own. In a word without end a token depends on its
   * neighbourhood alone, so the tokens of the first half do not depend on where it is cut.
   */
  private firstTokens(text: string): number[] {
    const encode = (part: string) => this.tokenizer.encode(part, { add_special_tokens: false }).ids;
    const room = this.maxTextTokens * USUAL_CHARACTERS_PER_TOKEN;
    const endOfWord = text.lastIndexOf(' ', room);
    const [end, enough] = endOfWord > 0 ? [endOfWord, this.maxTextTokens] : [room, 2 * this.maxTextTokens];
    if (text.length <= end) return encode(text);
    const first = encode(text.slice(0, end));
    return first.length > enough ? first : encode(text);
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

/** (y, x) of a patch's centre as fractions of the frame's longer side, so that any grid interpolates a trained one. */
function centre(row: number, column: number, rows: number, columns: number): [y: number, x: number] {
  const longer = Math.max(rows, columns);
  return [(row + 0.5) / longer, (column + 0.5) / longer];
}

const COORDINATES = 3;

const textLength = (sequence: TokenSequence): number => sequence.ids.length;
const patchCount = (sequence: TokenSequence): number => sequence.positions.length / COORDINATES;

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
