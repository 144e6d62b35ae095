import type { CacheFile, DiskCacheOptions } from '../../src/embedding/disk-cache.js';
import { DiskCache } from '../../src/embedding/disk-cache.js';
import type { Embedding } from '../../src/embedding/embedding.js';
import { openCacheFiles } from '../../src/embedding/open-disk-cache.js';

export interface OpenCache extends AsyncDisposable {
  cache: DiskCache;
  /** Messages of the cache. */
  logs: string[];
}

/** A cache in `folder`, loaded. */
export async function openCache(folder: string, options: Partial<DiskCacheOptions> = {}): Promise<OpenCache> {
  const logs: string[] = [];
  const log = (fields: object, message: string) => logs.push(`${message} ${JSON.stringify(fields)}`);
  const logger = { info: log, warn: log, error: log };
  const cache = new DiskCache({ folder, maxBytes: 1e6, logger, ...options });
  const files: AsyncIterable<CacheFile> = openCacheFiles(cache.options);
  cache.load(files);
  await cache.written();
  return { cache, logs, [Symbol.asyncDispose]: () => cache.close() };
}

/** An embedding that no other number has. */
export const embeddingOf = (seed: number, dim = 256): Embedding => ({
  vector: Float32Array.from({ length: dim }, (_, i) => Math.sin(seed * 7919 + i)),
  modality: (['text', 'image', 'video'] as const)[seed % 3] as Embedding['modality'],
  tokens: seed,
  truncated: seed % 2 === 1,
});

/** A key as the service makes them: 44 characters. */
export const keyOf = (seed: number): string => String(seed).padStart(44, 'k');
