/**
 * A model of the shape of CLIP ViT-B/32, with random weights, in this service and in a plain Fastify server around
 * `@huggingface/transformers` (bench/peers/transformers.mjs): the same library on the same files.
 *
 *   npm run bench:clip -- [--seconds 5] [--size base]
 *
 * Estimate: the vision tower has 86 M weights, so the 50 tokens of an image cost 8.8 GFLOP: two cores that sustain 60
 * GFLOP/s each do 14 images per second, batched or not. A text of 8 words is 17 tokens here; in 38 M weights it costs
 * 1.3 GFLOP: 90 per second. Batching saves little computation; the gain left is to run HTTP and decoding in parallel to
 * inference.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { BASE, writeTinyClip } from '../../dist/test/tiny/clip.js';
import { startPeer } from '../peer.mjs';
import { startService } from '../service.mjs';
import { compare, imageRequest, textRequest } from './compare.mjs';
import { jpegs, texts, WORDS } from './workloads.mjs';

const { values } = parseArgs({
  options: { seconds: { type: 'string', default: '5' }, size: { type: 'string', default: 'base' } },
});
const PORT = 18124;
const model = await mkdtemp(path.join(tmpdir(), 'onespace-clip-'));

try {
  await writeTinyClip(model, { name: 'clip', words: WORDS, ...(values.size === 'base' ? { size: BASE } : {}) });
  await compare({
    servers: {
      onespace: () => startService({ MODEL: model }),
      transformers: () => startPeer(PORT, process.execPath, 'bench/peers/transformers.mjs', model, String(PORT)),
    },
    workloads: [
      { name: 'text, 8 words', requests: texts(8, 4096).map(textRequest) },
      { name: 'JPEG, 512x512', requests: (await jpegs(512, 512)).map(imageRequest) },
    ],
    seconds: Number(values.seconds),
    concurrencies: [1, 64],
  });
} finally {
  await rm(model, { recursive: true });
}
