import type { Model } from '../../../models/catalog.js';
import type { ClipManifest } from '../../../models/manifest.js';
import type { SessionSettings } from '../../worker/protocol.js';
import type { Family } from '../family.js';
import { type HubInput, openHub } from '../transformers/family.js';

/**
 * Two towers into one space: CLIP, SigLIP, jina-clip. They encode texts and single images. A video is the mean of its
 * frames, so their order is lost; an input of several parts is the mean of its parts.
 */
export const openClip = (model: Model<ClipManifest>, settings: SessionSettings): Family<HubInput> =>
  openHub(model, settings, new URL('./worker.js', import.meta.url));
