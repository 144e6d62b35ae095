// Times the shipped model with onnxruntime-node: the fastest tenth of 50 runs and
// their median, in milliseconds. On a busy machine the first tells more.
//
//   node evaluation/latency.mjs [threads]        default 1

import '../../../../dist/src/lib/no-telemetry.js';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import * as ort from 'onnxruntime-node';

/** The folder `training`. */
const here = path.join(path.dirname(fileURLToPath(import.meta.url)), '..');
const threads = Number(process.argv[2] ?? 1);
const session = await ort.InferenceSession.create(path.join(here, `../model.${process.argv[3] ?? 'fp32'}.onnx`), {
  intraOpNumThreads: threads,
  extra: { session: { disable_quant_qdq: '1', x64quantprecision: '1' } },
});

function feeds(tokens, patches) {
  return {
    input_ids: new ort.Tensor('int64', new BigInt64Array(tokens).fill(500n), [1, tokens]),
    text_mask: new ort.Tensor('float32', new Float32Array(tokens).fill(1), [1, tokens]),
    patches: new ort.Tensor(
      'uint8',
      Uint8Array.from({ length: patches * 768 }, (_, i) => (i * 7) % 256),
      [1, patches, 768],
    ),
    positions: new ort.Tensor(
      'float32',
      Float32Array.from({ length: patches * 3 }, (_, i) => (i % 8) / 8),
      [1, patches, 3],
    ),
    patch_mask: new ort.Tensor('float32', new Float32Array(patches).fill(1), [1, patches]),
  };
}

const cases = [
  ['text, 6 tokens', 6, 0],
  ['text, 64 tokens', 64, 0],
  ['picture, 16 patches', 0, 16],
  ['picture, 36 patches', 0, 36],
  ['picture, 256 patches', 0, 256],
  ['clip, 8 frames of 16', 0, 128],
  ['clip, 32 frames of 16', 0, 512],
];
for (const [name, tokens, patches] of cases) {
  const input = feeds(tokens, patches);
  for (let k = 0; k < 5; k++) await session.run(input);
  const times = [];
  for (let k = 0; k < 50; k++) {
    const start = performance.now();
    await session.run(input);
    times.push(performance.now() - start);
  }
  times.sort((a, b) => a - b);
  console.log(`${name.padEnd(24)} ${times[5].toFixed(1)} ms (median ${times[25].toFixed(1)})`);
}
