import type { Model } from '../../../models/catalog.js';
import type { ClipManifest } from '../../../models/manifest.js';
import type { SessionSettings } from '../../worker/worker-handle.js';
import type { Family } from '../family.js';
import { type HubInput, openHub } from '../transformers/family.js';

/**
 * Two towers into one space: CLIP, SigLIP, jina-clip. They know text and single pictures; a clip is the average of
 * its frames, so their order is lost, and an input of several parts is the average of its parts.
 */
export const openClip = (model: Model<ClipManifest>, settings: SessionSettings): Family<HubInput> =>
  openHub(model, settings, new URL('./worker.js', import.meta.url));
