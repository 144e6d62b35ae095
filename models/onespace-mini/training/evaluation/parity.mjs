// Compares an exported graph with PyTorch on the cases of work/parity.json, and
// checks that padding changes nothing.
//
//   node evaluation/parity.mjs [graph]     default: work/model-float32.onnx

import '../../../../dist/src/lib/no-telemetry.js';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import * as ort from 'onnxruntime-node';

/** The folder `training`. */
const here = path.join(path.dirname(fileURLToPath(import.meta.url)), '..');
const graph = process.argv[2] ?? path.join(here, 'work/model-float32.onnx');
const session = await ort.InferenceSession.create(graph, { extra: { session: { x64quantprecision: '1' } } }); // as the service does
const cases = JSON.parse(fs.readFileSync(path.join(here, 'work/parity.json'), 'utf8'));

function feeds(c) {
  return {
    input_ids: new ort.Tensor('int64', BigInt64Array.from(c.ids, BigInt), [c.batch, c.text]),
    text_mask: new ort.Tensor('float32', Float32Array.from(c.textMask), [c.batch, c.text]),
    patches: new ort.Tensor('uint8', Uint8Array.from(c.pixels), [c.batch, c.patches, 768]),
    positions: new ort.Tensor('float32', Float32Array.from(c.positions), [c.batch, c.patches, 3]),
    patch_mask: new ort.Tensor('float32', Float32Array.from(c.patchMask), [c.batch, c.patches]),
  };
}

const run = async (c) => (await session.run(feeds(c))).embedding.data;
const furthest = (a, b) => a.reduce((most, v, i) => Math.max(most, Math.abs(v - b[i])), 0);

/** The case with what lies under the padding replaced by something else. */
function disturbed(c) {
  const ids = c.ids.map((id, i) => (c.textMask[i] ? id : 77));
  const pixels = c.pixels.map((p, i) => (c.patchMask[Math.floor(i / 768)] ? p : 200));
  const positions = c.positions.map((p, i) => (c.patchMask[Math.floor(i / 3)] ? p : 30));
  return { ...c, ids, pixels, positions };
}

let worst = 0;
for (const c of cases) {
  const got = await run(c);
  const difference = furthest(got, c.expected);
  const padding = furthest(await run(disturbed(c)), got);
  worst = Math.max(worst, difference, padding);
  const cosine = Math.min(
    ...Array.from({ length: c.batch }, (_, b) =>
      got.slice(b * 256, b * 256 + 256).reduce((sum, v, i) => sum + v * c.expected[b * 256 + i], 0),
    ),
  );
  console.log(
    `${c.name.padEnd(28)} largest difference ${difference.toExponential(1)}, under padding ${padding.toExponential(1)}, least cosine ${cosine.toFixed(6)}`,
  );
}
console.log(`${path.basename(graph)}: worst ${worst.toExponential(1)}`);
