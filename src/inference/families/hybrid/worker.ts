/**
 * The worker thread that owns the two ONNX Runtime sessions of a hybrid model: the stem, which reads frames of one size
 * at a time, and the transformer, which reads the cells of all frames beside text.
 */
import { workerData } from 'node:worker_threads';
import * as ort from 'onnxruntime-node';
import type { Device } from '../../device.js';
import type { SessionSettings } from '../../worker/protocol.js';
import { onFirstDevice, runWorker, type Session } from '../../worker/worker-main.js';
import { openGraph } from '../open-graph.js';
import type { FrameGroup, HybridBatch } from './serializer.js';

/** `workerData` of a thread of this family. */
export interface HybridSetup extends Omit<SessionSettings, 'dtype'> {
  graphPath: string;
  stemPath: string;
  /** Pixels of an image's longer side. */
  side: number;
  /** Pixels of a cell's edge. */
  patch: number;
  /** Numbers of a cell. */
  cell: number;
}

const { graphPath, stemPath, devices, threads, side, patch, cell } = workerData as HybridSetup;

/** Bytes of frames that pass the stem at once: the feature maps between its layers take some twenty times as much. */
const STEM_BYTES = 16 * 224 * 224 * 3;
const CHANNELS = 3;

interface Sessions {
  stem: ort.InferenceSession;
  transformer: ort.InferenceSession;
}

/** Sessions on a device, warmed up: the first forward passes are slow. */
async function openSession(device: Device): Promise<Session<HybridBatch>> {
  const sessions = {
    stem: await openGraph(stemPath, device, threads),
    transformer: await openGraph(graphPath, device, threads),
  };
  const text = plainBatch(8, []);
  const pixels = new Uint8Array(side * side * CHANNELS);
  const image = plainBatch(0, [{ width: side, height: side, pixels, offsets: Int32Array.of(0) }]);
  for (const batch of [text, image, text, image]) await infer(sessions, batch);
  return {
    device,
    // A copy: the runtime's own buffer cannot be transferred to another thread.
    run: async (batch) => ({ vectors: Float32Array.from(await infer(sessions, batch)) }),
    release: async () => {
      await sessions.stem.release();
      await sessions.transformer.release();
    },
  };
}

/** A batch of one input: some text token, repeated, or black frames of the size of an image. */
function plainBatch(textLength: number, groups: FrameGroup[]): HybridBatch {
  const cellCount = groups.length * ((side / patch) ** 2 + 1);
  return {
    size: 1,
    textLength,
    cellCount,
    ids: new BigInt64Array(textLength).fill(4n),
    textMask: new Float32Array(textLength).fill(1),
    positions: new Float32Array(cellCount * 3),
    cellMask: new Float32Array(cellCount).fill(1),
    groups,
  };
}

async function infer(sessions: Sessions, batch: HybridBatch): Promise<Float32Array> {
  const { size, textLength, cellCount } = batch;
  const cells = await see(sessions.stem, batch);
  const { embedding } = await sessions.transformer.run({
    input_ids: new ort.Tensor('int64', batch.ids, [size, textLength]),
    text_mask: new ort.Tensor('float32', batch.textMask, [size, textLength]),
    patches: new ort.Tensor('float32', cells, [size, cellCount, cell]),
    positions: new ort.Tensor('float32', batch.positions, [size, cellCount, 3]),
    patch_mask: new ort.Tensor('float32', batch.cellMask, [size, cellCount]),
  });
  if (embedding === undefined) throw new Error('The graph has no output named "embedding".');
  return embedding.data as Float32Array;
}

/** The cells of all frames of a batch, each where it belongs: `[size, cellCount, cell]`, zero where there is none. */
async function see(stem: ort.InferenceSession, { size, cellCount, groups }: HybridBatch): Promise<Float32Array> {
  const all = new Float32Array(size * cellCount * cell);
  for (const { width, height, pixels, offsets } of groups) {
    const bytes = width * height * CHANNELS;
    const most = Math.max(1, Math.floor(STEM_BYTES / bytes));
    for (let first = 0; first < offsets.length; first += most) {
      const count = Math.min(most, offsets.length - first);
      const part = pixels.subarray(first * bytes, (first + count) * bytes);
      const { cells } = await stem.run({ frames: new ort.Tensor('uint8', part, [count, height, width, CHANNELS]) });
      if (cells === undefined) throw new Error('The stem has no output named "cells".');
      const numbers = cells.data as Float32Array;
      const perFrame = numbers.length / count;
      for (let k = 0; k < count; k++)
        all.set(numbers.subarray(k * perFrame, (k + 1) * perFrame), (offsets[first + k] as number) * cell);
    }
  }
  return all;
}

await runWorker(() => onFirstDevice(devices, openSession));
