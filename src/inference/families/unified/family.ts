import path from 'node:path';
import type { Model } from '../../../models/catalog.js';
import type { UnifiedManifest } from '../../../models/manifest.js';
import type { SessionSettings } from '../../worker/protocol.js';
import type { Family } from '../family.js';
import { graphPath } from '../graph-path.js';
import { collateMessage, Serializer } from './serializer.js';
import type { TokenSequence } from './token-sequence.js';
import type { UnifiedSetup } from './worker.js';

/**
 * The bundled architecture: every modality as one token sequence for one transformer, one ONNX graph.
 * @throws Error when the model has no graph for the dtype, or its tokenizer cannot be read
 */
export async function openUnified(
  model: Model<UnifiedManifest>,
  { dtype, devices, threads }: SessionSettings,
): Promise<Family<TokenSequence>> {
  const { manifest, dir } = model;
  const serializer = await Serializer.open(manifest, path.join(dir, manifest.tokenizer));
  const { bytesPerPatch } = serializer;
  const setup: UnifiedSetup = { devices, threads, graphPath: graphPath(model, dtype), bytesPerPatch };
  return {
    worker: new URL('./worker.js', import.meta.url),
    setup,
    // Bound, not wrapped: a request runs the serializer and nothing of this file.
    prepare: serializer.prepare.bind(serializer),
    collate: collateMessage.bind(undefined, bytesPerPatch),
  };
}
