import { summarise } from '../../load.mjs';
import { repeat } from '../repeat.mjs';
import { DIM } from '../vectors.mjs';

/** Reads every byte once: `indexOf` of a byte that is not there is a `memchr` over the whole. */
export default function limit(rows, seconds) {
  const memory = Buffer.alloc(rows * DIM * 4, 1);
  return { one: summarise(...repeat(seconds, () => memory.indexOf(0))) };
}
