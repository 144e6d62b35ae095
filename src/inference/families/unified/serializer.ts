import { readFile } from 'node:fs/promises';
import { Tokenizer } from '@huggingface/tokenizers';
import type { Frame } from '../../../media/frame.js';
import type { UnifiedManifest } from '../../../models/manifest.js';
import type { TokenSequence } from './token-sequence.js';

const CHANNELS = 3;
// A token of any vocabulary is shorter than this, so text beyond `max_tokens` times it cannot reach the
// model: cutting there bounds the time a megabyte of text takes, and changes nothing else.
const MAX_CHARACTERS_PER_TOKEN = 64;

/** One thing to embed: text, or pictures in the shape that the model wants. */
type Part = { text: string } | { frames: readonly Frame[] };

export interface Serialized {
  sequence: TokenSequence;
  /** Text tokens that reached the model. */
  tokens: number;
  /** Whether text was cut at the model's limit. */
  truncated: boolean;
}

/** Turns text and frames into the one token sequence that the model reads. */
export class Serializer {
  private constructor(
    private readonly tokenizer: Tokenizer,
    private readonly patch: number,
    private readonly maxTokens: number,
  ) {}

  static async open({ patch, text }: UnifiedManifest, tokenizerPath: string): Promise<Serializer> {
    const tokenizer = new Tokenizer(JSON.parse(await readFile(tokenizerPath, 'utf8')), {});
    return new Serializer(tokenizer, patch, text.max_tokens);
  }

  get bytesPerPatch(): number {
    return this.patch * this.patch * CHANNELS;
  }

  /** Parts in their order -> one sequence. Text of all parts shares the model's token limit. */
  serialize(parts: readonly Part[]): Serialized {
    const { ids, truncated } = this.tokenize(parts.flatMap((part) => ('text' in part ? [part.text] : [])).join('\n'));
    const frames = parts.flatMap((part) => ('frames' in part ? part.frames : []));
    return { sequence: { ids, ...this.toPatches(frames) }, tokens: ids.length, truncated };
  }

  private tokenize(text: string): { ids: Int32Array; truncated: boolean } {
    const maxCharacters = this.maxTokens * MAX_CHARACTERS_PER_TOKEN;
    const compact = text
      .trimStart()
      .slice(0, 8 * maxCharacters)
      .replace(/\s+/g, ' ')
      .trim();
    if (compact === '') return { ids: new Int32Array(0), truncated: false };
    const { ids } = this.tokenizer.encode(compact.slice(0, maxCharacters), { add_special_tokens: false });
    const truncated = ids.length > this.maxTokens || compact.length > maxCharacters;
    return { ids: Int32Array.from(ids.slice(0, this.maxTokens)), truncated };
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

  /** Copies one patch row by row: 16 short copies, no loop over pixels. */
  private copyPatch(frame: Frame, row: number, column: number, target: Uint8Array, offset: number): void {
    const rowBytes = this.patch * CHANNELS;
    for (let line = 0; line < this.patch; line++) {
      const start = ((row * this.patch + line) * frame.width + column * this.patch) * CHANNELS;
      target.set(frame.rgb.subarray(start, start + rowBytes), offset + line * rowBytes);
    }
  }
}

/** (y, x) of a patch's centre as fractions of the frame's longer side: any grid interpolates a trained one. */
function centre(row: number, column: number, rows: number, columns: number): [y: number, x: number] {
  const longer = Math.max(rows, columns);
  return [(row + 0.5) / longer, (column + 0.5) / longer];
}
