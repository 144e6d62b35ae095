import path from 'node:path';
import { Problem } from '../../../common/errors.js';
import type { Model } from '../../../models/catalog.js';
import { maxSequenceTokens, type UnifiedManifest } from '../../../models/manifest.js';
import type { Part } from '../../encoder.js';
import type { Dtype, SessionSettings } from '../../worker/worker-handle.js';
import type { BatchMessage, Family, Prepared } from '../family.js';
import { Serializer } from './serializer.js';
import { collate, patchCount, sequenceLength, type TokenSequence, textLength } from './token-sequence.js';
import type { UnifiedSetup } from './worker.js';

/** The bundled architecture: every modality as one token sequence for one transformer, one ONNX graph. */
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
    prepare: (parts) => prepare(serializer, parts, maxSequenceTokens(manifest)),
    collate: (sequences) => asMessage(sequences, bytesPerPatch),
  };
}

/**
 * The graph of a model for an arithmetic.
 * @throws Error when the model does not come in it
 */
export function graphPath({ manifest, dir }: Model<UnifiedManifest>, dtype: Dtype): string {
  const file = (manifest.graphs as Partial<Record<Dtype, string>>)[dtype];
  if (file === undefined)
    throw new Error(
      `The model ${manifest.name} does not come in DTYPE=${dtype}; it comes in ${Object.keys(manifest.graphs).join(', ')}.`,
    );
  return path.join(dir, file);
}

function prepare(serializer: Serializer, parts: readonly Part[], maxTokens: number): Prepared<TokenSequence> {
  const { sequence, truncated } = serializer.serialize(parts);
  const tokens = sequenceLength(sequence);
  if (tokens === 0) throw new Problem('invalid_request', 'The text is empty: it has no token to embed.');
  if (tokens > maxTokens) {
    const detail = `The input is a sequence of ${tokens} tokens; at most ${maxTokens} fit. Send fewer parts.`;
    throw new Problem('too_large', detail, { tokens, limit_tokens: maxTokens });
  }
  return { input: sequence, textLength: textLength(sequence), patchCount: patchCount(sequence), truncated };
}

function asMessage(sequences: readonly TokenSequence[], bytesPerPatch: number): BatchMessage {
  const batch = collate(sequences, bytesPerPatch);
  const { ids, textMask, patches, positions, patchMask } = batch;
  const transfer = [ids, textMask, patches, positions, patchMask].map((array) => array.buffer as ArrayBuffer);
  return { message: batch, transfer };
}
