import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const SEARCHES = 60_000;
const DIM = 256;

/** Searches in a process of its own, which prints by how many bytes it has grown since the first tenth of them. */
const PROGRAM = `
  const { IndexFlatIP } = require('faiss-node');
  const index = new IndexFlatIP(${DIM});
  const vector = Array.from({ length: ${DIM} }, (_, i) => i / ${DIM});
  for (let i = 0; i < 8; i++) index.add(vector);
  let before;
  for (let i = 0; i < ${SEARCHES}; i++) {
    index.search(vector, 4);
    if (i === ${SEARCHES / 10}) before = process.memoryUsage.rss();
  }
  console.log(process.memoryUsage.rss() - before);
`;

it('a search gives back its memory: the published binding keeps its copy of every query', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, ['-e', PROGRAM]);
  expect(Number(stdout)).toBeLessThan(0.25 * SEARCHES * 4 * DIM);
});
