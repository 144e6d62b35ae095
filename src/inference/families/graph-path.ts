import path from 'node:path';
import type { Dtype } from '../../common/dtype.js';
import type { Model } from '../../models/catalog.js';
import type { HybridManifest, UnifiedManifest } from '../../models/manifest.js';

/**
 * Path of the model's graph for a dtype.
 * @throws Error when the model has none
 */
export function graphPath({ manifest, dir }: Model<UnifiedManifest | HybridManifest>, dtype: Dtype): string {
  const file = (manifest.graphs as Partial<Record<Dtype, string>>)[dtype];
  if (file === undefined)
    throw new Error(
      `The model ${manifest.name} does not come in DTYPE=${dtype}; it comes in ${Object.keys(manifest.graphs).join(', ')}.`,
    );
  return path.join(dir, file);
}
