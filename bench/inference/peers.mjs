/**
 * The same requests to this service and to other servers, in one run.
 *
 *   node bench/inference/peers.mjs [--seconds 5]
 *
 * article: FastAPI and PyTorch, one request = one forward pass (bench/peers/article.py; needs Debian's
 * python3-torch, python3-fastapi, python3-uvicorn and python3-pil). Both
 * compute the same model, so the difference is batching, what blocks the event loop, and the runtime.
 */
import { parseArgs } from 'node:util';
import { startPeer } from '../peer.mjs';
import { startService } from '../service.mjs';
import { compare, imageRequest, textRequest } from './compare.mjs';
import { jpegs, texts } from './workloads.mjs';

const { values } = parseArgs({ options: { seconds: { type: 'string', default: '5' } } });
const PORT = 18123;

await compare({
  servers: {
    onespace: startService,
    article: () => startPeer(PORT, '/usr/bin/python3', 'bench/peers/article.py', String(PORT)),
  },
  workloads: [
    { name: 'text, 8 tokens', requests: texts(8, 4096).map(textRequest) },
    { name: 'text, 64 tokens', requests: texts(64, 4096).map(textRequest) },
    { name: 'JPEG, 512x512', requests: (await jpegs(512, 512)).map(imageRequest) },
  ],
  seconds: Number(values.seconds),
});
