import type { Model } from '../../models/catalog.js';
import type { LocalManifest } from '../../models/manifest.js';
import type { Encoder } from '../encoder.js';
import { LocalEncoder, type LocalOptions } from '../local-encoder.js';
import { openClip } from './clip/family.js';
import { openEmbeddingGemma2 } from './embeddinggemma2/family.js';
import { openUnified } from './unified/family.js';

/**
 * Opens a model of any family in a pool of this process: the one place that knows which families there are.
 * @throws Error when a file is wrong or no device runs the model
 */
export async function openLocalEncoder(model: Model<LocalManifest>, options: LocalOptions): Promise<Encoder> {
  const { manifest, dir } = model;
  switch (manifest.family) {
    case 'unified':
      return LocalEncoder.start(await openUnified({ manifest, dir }, options), manifest.dim, options);
    case 'embeddinggemma2':
      return LocalEncoder.start(openEmbeddingGemma2({ manifest, dir }, options), manifest.dim, options);
    case 'clip':
      return LocalEncoder.start(openClip({ manifest, dir }, options), manifest.dim, options);
  }
}
