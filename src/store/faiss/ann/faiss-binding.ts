import { createRequire } from 'node:module';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/**
 * faiss-node keeps the class that its static methods build in a variable of the process, which
 * the last thread to load it overwrites: so one thread of a process loads it, and one only.
 * It also ends the process when FAISS throws in `add`, `search` or `write`; we ask only for what
 * cannot fail, and write files ourselves or in a process that may die.
 */
export const faiss = createRequire(import.meta.url)('faiss-node') as typeof import('faiss-node');

/**
 * faiss-node does not tell V8 how much memory its objects hold, so V8 sees no reason to collect
 * them: dropped indexes would stay for hours. This asks for it; the memory itself is freed a
 * turn of the event loop later.
 */
setFlagsFromString('--expose-gc');
const gc = runInNewContext('gc') as (options: { type: 'minor' | 'major' }) => void;

/** After dropping an index made a moment ago: about a millisecond. */
export const dropFresh = (): void => gc({ type: 'minor' });

/** After dropping an index that was in use: as long as the heap is large. */
export const dropUsed = (): void => gc({ type: 'major' });
