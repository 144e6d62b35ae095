import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

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
