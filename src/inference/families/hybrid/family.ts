import path from 'node:path';
import type { Model } from '../../../models/catalog.js';
import type { HybridManifest } from '../../../models/manifest.js';
import type { SessionSettings } from '../../worker/protocol.js';
import type { Family } from '../family.js';
import { graphPath } from '../graph-path.js';
import { collateMessage, type HybridInput, Serializer } from './serializer.js';
import type { HybridSetup } from './worker.js';

/**
 * The bundled architecture behind a convolutional stem (the hybrid of Dosovitskiy et al. 2021, arXiv:2010.11929): the
 * cells of a frame's feature map, and text, are one token sequence for one transformer.
 * @throws Error when the model has no graph for the dtype, or its tokenizer cannot be read
 */
export async function openHybrid(
  model: Model<HybridManifest>,
  { dtype, devices, threads }: SessionSettings,
): Promise<Family<HybridInput>> {
  const { manifest, dir } = model;
  const serializer = await Serializer.open(manifest, path.join(dir, manifest.tokenizer));
  const setup: HybridSetup = {
    devices,
    threads,
    graphPath: graphPath(model, dtype),
    stemPath: path.join(dir, manifest.stem),
    side: manifest.image.side,
    patch: manifest.patch,
    cell: manifest.cell,
  };
  return {
    worker: new URL('./worker.js', import.meta.url),
    setup,
    prepare: serializer.prepare.bind(serializer),
    collate: collateMessage.bind(undefined, manifest.patch),
  };
}
