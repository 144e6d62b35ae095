/**
 * The bare loop, the upper bound for a service: decoding and ONNX Runtime in one process, without HTTP or a queue, in
 * batches of the best size. The next inputs are decoded during the inference of the current ones.
 */
import '../../dist/src/lib/no-telemetry.js';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { parentPort, Worker, workerData } from 'node:worker_threads';
import * as ort from 'onnxruntime-node';
import { graphPath } from '../../dist/src/inference/families/graph-path.js';
import { collate, Serializer } from '../../dist/src/inference/families/unified/serializer.js';
import { ORT_SESSION_OPTIONS } from '../../dist/src/inference/worker/ort-options.js';
import { decodeMedia } from '../../dist/src/media/decode.js';
import { Ffmpeg } from '../../dist/src/media/video/ffmpeg.js';
import { openModel } from '../../dist/src/models/catalog.js';

const threads = availableParallelism();

/** Inference in a thread of its own, one batch after another, so that the main thread can decode. */
if (workerData?.graphPath) {
  const session = await ort.InferenceSession.create(workerData.graphPath, {
    intraOpNumThreads: threads,
    extra: { session: { disable_quant_qdq: '1', ...ORT_SESSION_OPTIONS } },
  });
  parentPort.on('message', async (batch) => {
    const { size, textLength, patchCount } = batch;
    await session.run({
      input_ids: new ort.Tensor('int64', batch.ids, [size, textLength]),
      text_mask: new ort.Tensor('float32', batch.textMask, [size, textLength]),
      patches: new ort.Tensor('uint8', batch.patches, [size, patchCount, 768]),
      positions: new ort.Tensor('float32', batch.positions, [size, patchCount, 3]),
      patch_mask: new ort.Tensor('float32', batch.patchMask, [size, patchCount]),
    });
    parentPort.postMessage('done');
  });
}

/** Opens the bundled model. @returns the steps of the loop, each to be measured alone or together */
export async function openBare() {
  const model = await openModel('onespace-mini', { MODELS_DIR: '', DTYPE: 'fp32' });
  const serializer = await Serializer.open(model.manifest, path.join(model.dir, model.manifest.tokenizer));
  const ffmpeg = await Ffmpeg.locate();
  const worker = new Worker(new URL(import.meta.url), {
    workerData: { graphPath: graphPath(model, process.env.DTYPE ?? 'fp32') },
  });
  const infer = (sequences) =>
    new Promise((resolve) => {
      worker.once('message', resolve);
      worker.postMessage(collate(sequences, 768));
    });
  const { manifest } = model;
  const shapes = {
    image: { side: manifest.image.side, patch: manifest.patch },
    video: {
      side: manifest.video.side,
      patch: manifest.patch,
      framesPerSecond: 1,
      minFrames: manifest.video.min_frames,
      maxFrames: manifest.video.max_frames,
    },
    limits: { maxPixels: 1e9, maxVideoSeconds: 600, timeoutMs: 60_000 },
  };
  const decode = async (upload) => {
    const { frames } = await decodeMedia(upload, { ...shapes, ffmpeg });
    return serializer.serialize([{ frames }]).sequence;
  };
  const tokenize = (text) => serializer.serialize([{ text }]).sequence;
  return { decode, tokenize, infer, close: () => worker.terminate() };
}

/** Items per second of `prepare` and `infer`, the next batch being prepared while the current one runs. */
export async function pipeline(prepare, infer, batchSize, seconds) {
  const batch = () => Promise.all(Array.from({ length: batchSize }, prepare));
  let ready = await batch();
  let count = 0;
  const start = performance.now();
  while (performance.now() - start < seconds * 1000) {
    const next = batch();
    await infer(ready);
    count += batchSize;
    ready = await next;
  }
  return count / ((performance.now() - start) / 1000);
}

/** Calls of `task` per second, `width` at a time. */
export async function rate(task, width, seconds) {
  let count = 0;
  const start = performance.now();
  const end = start + seconds * 1000;
  const worker = async () => {
    while (performance.now() < end) {
      await task();
      count++;
    }
  };
  await Promise.all(Array.from({ length: width }, worker));
  return count / ((performance.now() - start) / 1000);
}
