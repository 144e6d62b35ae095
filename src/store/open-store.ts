import type { Config } from '../config.js';
import { openChroma } from './chroma/driver.js';
import type { OpenRequest, StoreDriver } from './driver.js';
import { openFaiss } from './faiss/driver.js';
import type { VectorStore } from './vector-store.js';

/** The drivers by the values of the setting STORE: a new driver is a value there and an entry here. */
const DRIVERS: Record<Config['STORE'], StoreDriver> = { faiss: openFaiss, chroma: openChroma };

/** Opens an index with the driver that the settings name. @throws as the driver does */
export const openStore = (request: OpenRequest): Promise<VectorStore> => DRIVERS[request.config.STORE](request);
