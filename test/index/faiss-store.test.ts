import { openFaissStore } from '../../src/index/faiss-store.js';
import { storeContract } from './store.contract.js';
import { BINDING, recorder, tempDir } from './support.js';

storeContract('faiss', async () =>
  openFaissStore({ dir: await tempDir(), binding: BINDING, logger: recorder().logger }),
);

// Snapshots follow each other closely here, so that every operation meets rows on disk and in memory.
storeContract('faiss with a snapshot every few writes', async () =>
  openFaissStore({ dir: await tempDir(), binding: BINDING, logger: recorder().logger, snapshotBytes: 2000 }),
);
