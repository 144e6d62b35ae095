import { Problem } from '../../../common/errors.js';
import type { Model } from '../../../models/catalog.js';
import type { EmbeddingGemma2Manifest } from '../../../models/manifest.js';
import type { SessionSettings } from '../../worker/protocol.js';
import type { Family } from '../family.js';
import { type HubInput, openHub } from '../transformers/family.js';

/** EmbeddingGemma 2: images and frames become soft tokens among the text tokens of one bidirectional transformer. */
export function openEmbeddingGemma2(
  model: Model<EmbeddingGemma2Manifest>,
  settings: SessionSettings,
): Family<HubInput> {
  const { max_tokens: maxTokens } = model.manifest.text;
  const family = openHub(model, settings, new URL('./worker.js', import.meta.url));
  return {
    ...family,
    prepare(parts, role) {
      const prepared = family.prepare(parts, role);
      const { patchCount: tokens } = prepared;
      if (tokens < maxTokens) return prepared;
      const detail = `The images and frames become up to ${tokens} tokens; the model takes ${maxTokens}. Send fewer parts.`;
      throw new Problem('too_large', detail, { tokens, limit_tokens: maxTokens });
    },
  };
}
