import { createRequire } from 'node:module';

/**
 * faiss-node keeps the class that its static methods build in a variable of the process, which
 * the last thread to load it overwrites: so one thread of a process loads it, and one only.
 * It also ends the process when FAISS throws in `add`, `search` or `write`; we ask only for what
 * cannot fail, and write files ourselves or in a process that may die.
 */
export const faiss = createRequire(import.meta.url)('faiss-node') as typeof import('faiss-node');
