import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/**
 * faiss-node keeps the class that its static methods construct in a variable of the process, which the last
 * thread to load it overwrites: so only one thread of a process may load it.
 * It also ends the process when FAISS throws in `add`, `search` or `write`; callers therefore request only what
 * cannot fail, and write files themselves or in a process of its own.
 */
export const faiss = load();

/** Whether searches give back their memory: `deploy/setup.mjs` builds such a binding, the release page has another one. */
export const isMended: boolean = (faiss as { isMended?: boolean }).isMended === true;

/** @throws Error with the command that provides the binding */
function load(): typeof import('faiss-node') {
  try {
    return createRequire(import.meta.url)('faiss-node');
  } catch (error) {
    const [reason] = (error as Error).message.split('\n');
    const script = fileURLToPath(new URL('../../../../../deploy/setup.mjs', import.meta.url));
    // A container image comes complete and without the script.
    const remedy = existsSync(script) ? `node ${script} natives faiss` : 'docker build -t onespace .';
    const message = `The binding of FAISS cannot be loaded: ${reason} Run this, then start again:\n\n    ${remedy}\n`;
    throw new Error(message, { cause: error });
  }
}

/**
 * Native memory release: faiss-node does not tell V8 how much memory its objects hold, so V8 sees no reason to
 * collect dropped indexes, which would stay for hours. The two functions below start a collection; the memory is
 * freed in the next turn of the event loop.
 */
setFlagsFromString('--expose-gc');
const gc = runInNewContext('gc') as (options: { type: 'minor' | 'major' }) => void;

/** Releases an index that was created and dropped just now; takes about a millisecond. */
export const releaseRecent = (): void => gc({ type: 'minor' });

/** Releases an index that was in use; takes longer the larger the heap is. */
export const releaseAll = (): void => gc({ type: 'major' });
