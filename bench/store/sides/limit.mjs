import { summarise } from '../../load.mjs';
import { repeat } from '../repeat.mjs';
import { DIM } from '../vectors.mjs';

/** Reads every byte once: `indexOf` of an absent byte is one `memchr` over the buffer. */
export default function limit(rows, seconds) {
  const memory = Buffer.alloc(rows * DIM * 4, 1);
  return { one: summarise(...repeat(seconds, () => memory.indexOf(0))) };
}
