/**
 * The worker thread that owns one ONNX Runtime session of the bundled architecture. `session.run` blocks its thread, so
 * it does not run on the one that serves HTTP.
 */
import { workerData } from 'node:worker_threads';
import * as ort from 'onnxruntime-node';
import type { Device } from '../../device.js';
import type { SessionSettings } from '../../worker/protocol.js';
import { onFirstDevice, runWorker, type Session } from '../../worker/worker-main.js';
import { openGraph } from '../open-graph.js';
import type { Batch } from './token-sequence.js';

/** `workerData` of a thread of this family. */
export interface UnifiedSetup extends Omit<SessionSettings, 'dtype'> {
  graphPath: string;
  bytesPerPatch: number;
}

const { graphPath, devices, threads, bytesPerPatch } = workerData as UnifiedSetup;

/** A session on a device, warmed up: the first forward passes are slow. */
async function openSession(device: Device): Promise<Session<Batch>> {
  const session = await openGraph(graphPath, device, threads);
  await warmUp(session);
  return {
    device,
    // A copy: the runtime's own buffer cannot be transferred to another thread.
    run: async (batch) => ({ vectors: Float32Array.from(await infer(session, batch)) }),
    release: () => session.release(),
  };
}

async function warmUp(session: ort.InferenceSession): Promise<void> {
  const text = plainBatch(8, 0);
  const image = plainBatch(0, 16);
  for (const batch of [text, image, text, image]) await infer(session, batch);
}

/** A batch of one sequence: some text token, repeated, and black patches. */
function plainBatch(textLength: number, patchCount: number): Batch {
  return {
    size: 1,
    textLength,
    patchCount,
    ids: new BigInt64Array(textLength).fill(2n),
    textMask: new Float32Array(textLength).fill(1),
    patches: new Uint8Array(patchCount * bytesPerPatch),
    positions: new Float32Array(patchCount * 3),
    patchMask: new Float32Array(patchCount).fill(1),
  };
}

async function infer(session: ort.InferenceSession, batch: Batch): Promise<Float32Array> {
  const { size, textLength, patchCount } = batch;
  const { embedding } = await session.run({
    input_ids: new ort.Tensor('int64', batch.ids, [size, textLength]),
    text_mask: new ort.Tensor('float32', batch.textMask, [size, textLength]),
    patches: new ort.Tensor('uint8', batch.patches, [size, patchCount, bytesPerPatch]),
    positions: new ort.Tensor('float32', batch.positions, [size, patchCount, 3]),
    patch_mask: new ort.Tensor('float32', batch.patchMask, [size, patchCount]),
  });
  if (embedding === undefined) throw new Error('The graph has no output named "embedding".');
  return embedding.data as Float32Array;
}

await runWorker(() => onFirstDevice(devices, openSession));
