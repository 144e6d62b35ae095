import type { Frame } from '../../../media/frame.js';
import { type HybridManifest, maxSequenceTokens } from '../../../models/manifest.js';
import type { BatchMessage } from '../../worker/protocol.js';
import type { Prepared } from '../family.js';
import { centre, checkLength, framesOf, type Part, textOf } from '../sequence.js';
import { type PaddedTexts, padTexts, TextTokens } from '../text-tokens.js';

const CHANNELS = 3;
const COORDINATES = 3;

/** Text between its two marks, or none, and whole frames: the worker's stem turns these into cells. */
export interface HybridInput {
  /** `[tokens]` */
  ids: Int32Array;
  frames: readonly Frame[];
}

/** Frames of one size from all inputs of a batch. */
export interface FrameGroup {
  width: number;
  height: number;
  /** RGB, `[frames, height, width, 3]`. */
  pixels: Uint8Array;
  /** Where the cells of each frame begin in `[size * cellCount]`. */
  offsets: Int32Array;
}

/** Several inputs padded to one rectangle. A frame has a cell for each patch, and one that sums it up. */
export interface HybridBatch extends PaddedTexts {
  size: number;
  cellCount: number;
  /** `[size, cellCount, 3]` as (t, y, x). */
  positions: Float32Array;
  /** `[size, cellCount]`, 1 where there is a cell. */
  cellMask: Float32Array;
  groups: FrameGroup[];
}

/** Text and frames -> what the model reads. */
export class Serializer {
  private constructor(
    private readonly tokens: TextTokens,
    private readonly manifest: HybridManifest,
  ) {}

  /** @throws Error when the tokenizer cannot be read */
  static async open(manifest: HybridManifest, tokenizerPath: string): Promise<Serializer> {
    const marks = 2;
    return new Serializer(await TextTokens.open(tokenizerPath, manifest.text.max_tokens - marks), manifest);
  }

  /**
   * Parts in their order -> one input with the lengths that the queue batches by. The text of all parts together is cut
   * at the model's token limit.
   * @throws Problem `invalid_request` for an input without a token, `too_large` for one that does not fit the model
   */
  prepare(parts: readonly Part[]): Prepared<HybridInput> {
    const { patch, text } = this.manifest;
    const { ids: words, truncated } = this.tokens.read(textOf(parts));
    const ids = words.length === 0 ? words : Int32Array.of(text.begin_id, ...words, text.end_id);
    const frames = framesOf(parts);
    const patchCount = frames.reduce((sum, frame) => sum + cellsOf(frame, patch), 0);
    checkLength(ids.length + patchCount, maxSequenceTokens(this.manifest));
    return { input: { ids, frames }, textLength: ids.length, patchCount, truncated };
  }
}

/** Cells of a frame, with the one that sums it up. */
const cellsOf = ({ width, height }: Frame, patch: number): number => (width / patch) * (height / patch) + 1;

/** Pads inputs to one batch. Padding ids are 0; the masks exclude padding ids and padding cells. */
export function collate(patch: number, inputs: readonly HybridInput[]): HybridBatch {
  const size = inputs.length;
  const cellCount = Math.max(...inputs.map(({ frames }) => frames.reduce((sum, f) => sum + cellsOf(f, patch), 0)));
  const batch: HybridBatch = {
    size,
    cellCount,
    ...padTexts(inputs.map(({ ids }) => ids)),
    positions: new Float32Array(size * cellCount * COORDINATES),
    cellMask: new Float32Array(size * cellCount),
    groups: [],
  };
  const placed = new Map<string, { frames: Frame[]; offsets: number[] }>();
  inputs.forEach(({ frames }, row) => {
    let next = row * cellCount;
    for (const frame of frames) {
      const key = `${frame.width}x${frame.height}`;
      const group = placed.get(key) ?? { frames: [], offsets: [] };
      placed.set(key, group);
      group.frames.push(frame);
      group.offsets.push(next);
      next = place(frame, patch, batch.positions, next);
    }
    batch.cellMask.fill(1, row * cellCount, next);
  });
  batch.groups = [...placed.values()].map(({ frames, offsets }) => together(frames, offsets));
  return batch;
}

/** Writes (t, y, x) of a frame's cells, then of its sum, which lies in the middle. @returns the place behind them */
function place(frame: Frame, patch: number, positions: Float32Array, at: number): number {
  const [rows, columns] = [frame.height / patch, frame.width / patch];
  let next = at;
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++, next++)
      positions.set([frame.timeSeconds, ...centre(row, column, rows, columns)], next * COORDINATES);
  positions.set([frame.timeSeconds, ...centre((rows - 1) / 2, (columns - 1) / 2, rows, columns)], next * COORDINATES);
  return next + 1;
}

function together(frames: readonly Frame[], offsets: readonly number[]): FrameGroup {
  const { width, height } = frames[0] as Frame;
  const bytes = width * height * CHANNELS;
  const pixels = new Uint8Array(frames.length * bytes);
  frames.forEach(({ rgb }, index) => {
    pixels.set(rgb, index * bytes);
  });
  return { width, height, pixels, offsets: Int32Array.from(offsets) };
}

/** Inputs as one message to a worker; the new buffers move there. */
export function collateMessage(patch: number, inputs: readonly HybridInput[]): BatchMessage {
  const batch = collate(patch, inputs);
  const { ids, textMask, positions, cellMask, groups } = batch;
  const arrays = [ids, textMask, positions, cellMask, ...groups.flatMap(({ pixels, offsets }) => [pixels, offsets])];
  return { batch, transfer: arrays.map((array) => array.buffer as ArrayBuffer) };
}
