import type { TSchema } from 'typebox';
import { Value } from 'typebox/value';
import { ClipManifest, EmbeddingGemma2Manifest, GeminiManifest, HybridManifest, UnifiedManifest } from './manifest.js';

const FAMILIES: Record<string, TSchema> = {
  unified: UnifiedManifest,
  hybrid: HybridManifest,
  embeddinggemma2: EmbeddingGemma2Manifest,
  clip: ClipManifest,
  gemini: GeminiManifest,
};
/** The first say enough: one mistake can make many. */
const MAX_LINES = 10;

/** What is wrong with a manifest, field by field: the field, what it has, and what is allowed. */
export function manifestErrors(manifest: unknown): string {
  if (typeof manifest !== 'object' || manifest === null || Array.isArray(manifest)) return '  it must be an object';
  const { family } = manifest as { family?: unknown };
  const schema = FAMILIES[String(family)];
  if (schema === undefined) return `  family: must be one of ${Object.keys(FAMILIES).join(', ')}, not ${shown(family)}`;
  const lines = Value.Errors(schema, manifest).flatMap(({ instancePath, message, keyword, params }) => {
    const field = instancePath.slice(1).replaceAll('/', '.');
    if (keyword === 'required')
      return params.requiredProperties.map(
        (name) => `  ${[field, name].filter((part) => part !== '').join('.')}: is missing`,
      );
    return [`  ${field}: ${message}, not ${shown(valueAt(manifest, instancePath))}`];
  });
  return [...new Set(lines)].slice(0, MAX_LINES).join('\n');
}

const valueAt = (manifest: object, pointer: string): unknown =>
  pointer
    .split('/')
    .slice(1)
    .reduce<unknown>((value, key) => (value as Record<string, unknown> | undefined)?.[key], manifest);

const shown = (value: unknown): string => (value === undefined ? 'absent' : JSON.stringify(value).slice(0, 60));
