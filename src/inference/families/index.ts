import type { Config } from '../../config.js';
import type { Model } from '../../models/catalog.js';
import type { ApiManifest, LocalManifest, ModelManifest } from '../../models/manifest.js';
import { EncoderPool, type PoolOptions } from '../batching/encoder-pool.js';
import type { Encoder } from '../encoder.js';
import type { SessionSettings } from '../worker/protocol.js';
import { openClip } from './clip/family.js';
import { openEmbeddingGemma2 } from './embeddinggemma2/family.js';
import type { Family } from './family.js';
import { openGemini } from './gemini/encoder.js';
import { openHybrid } from './hybrid/family.js';
import { openUnified } from './unified/family.js';

/** A family whose models run in this process, on its devices. */
interface LocalFamily<Manifest extends LocalManifest> {
  runsOn: 'device';
  open(model: Model<Manifest>, settings: SessionSettings): Family<unknown> | Promise<Family<unknown>>;
}

/** A family whose models run behind somebody's API. */
interface ApiFamily<Manifest extends ApiManifest> {
  runsOn: 'api';
  open(manifest: Manifest, config: Config): Promise<Encoder>;
}

type Of<Name extends ModelManifest['family']> = Extract<ModelManifest, { family: Name }>;
type Families = { [Name in LocalManifest['family']]: LocalFamily<Of<Name>> } & {
  [Name in ApiManifest['family']]: ApiFamily<Of<Name>>;
};

/** Every family of models: the one place that names them all. */
const FAMILIES: Families = {
  unified: { runsOn: 'device', open: openUnified },
  hybrid: { runsOn: 'device', open: openHybrid },
  embeddinggemma2: { runsOn: 'device', open: openEmbeddingGemma2 },
  clip: { runsOn: 'device', open: openClip },
  gemini: { runsOn: 'api', open: openGemini },
};

/** Whether a model runs on the devices of this machine, rather than behind an API. */
export const isLocal = (manifest: ModelManifest): manifest is LocalManifest =>
  FAMILIES[manifest.family].runsOn === 'device';

/**
 * Opens a model of a local family in a pool of this process.
 * @throws Error when a file is wrong or no device runs the model
 */
export async function openLocalEncoder(
  model: Model<LocalManifest>,
  options: SessionSettings & PoolOptions,
): Promise<Encoder> {
  const { manifest } = model;
  const { open } = FAMILIES[manifest.family] as LocalFamily<LocalManifest>;
  return EncoderPool.start(await open(model, options), manifest.dim, options);
}

/**
 * Opens a model of an API family by the settings of the service.
 * @throws Error when a setting that the API needs is missing
 */
export function openApiEncoder(manifest: ApiManifest, config: Config): Promise<Encoder> {
  const { open } = FAMILIES[manifest.family] as ApiFamily<ApiManifest>;
  return open(manifest, config);
}
