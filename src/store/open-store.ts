import type { Config } from '../config.js';
import { openChroma } from './chroma/driver.js';
import type { OpenRequest, StoreDriver } from './driver.js';
import { openFaiss } from './faiss/driver.js';
import type { VectorStore } from './vector-store.js';

/** The drivers by the values of the setting STORE: a new driver is a value there and an entry here. */
const DRIVERS: Record<Config['STORE'], StoreDriver> = { faiss: openFaiss, chroma: openChroma };

/** The stores that several replicas of the service may have in common. */
const SHARED: readonly Config['STORE'][] = ['chroma'];

/** Whether other replicas of the service may use the store that the settings name. */
export const isShared = ({ STORE }: Pick<Config, 'STORE'>): boolean => SHARED.includes(STORE);

/** Opens an index with the driver that the settings name. @throws as the driver does */
export const openStore = (request: OpenRequest): Promise<VectorStore> => DRIVERS[request.config.STORE](request);
