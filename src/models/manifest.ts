import { type Static, Type } from 'typebox';
import { MODALITIES } from '../common/modality.js';

const positive = Type.Integer({ minimum: 1 });
const sha256 = Type.String({ pattern: '^[0-9a-f]{64}$' });

/** A path within the model's folder, which it cannot lead out of. */
const FilePath = Type.String({ pattern: '^(?!.*\\.\\.)[A-Za-z0-9_][A-Za-z0-9._/-]*$' });

/** What every model says of itself. */
const COMMON = {
  name: Type.String({ pattern: '^[a-z0-9][a-z0-9._-]*$' }),
  revision: Type.String({ minLength: 1, maxLength: 64 }),
  dim: positive,
  /** Lengths to which a vector may be cut (and renormalised), longest first. */
  matryoshka: Type.Array(positive),
  licence: Type.String(),
  description: Type.String(),
  modalities: Type.Array(Type.Enum([...MODALITIES])),
  /** Whether time reaches the model as a dimension. */
  temporal: Type.Boolean(),
};

/** A model of the bundled architecture. */
export const UnifiedManifest = Type.Object({
  ...COMMON,
  family: Type.Literal('unified'),
  files: Type.Record(Type.String(), Type.Object({ bytes: positive, sha256 })),
  /** The graph for each arithmetic; they share their weights. */
  graphs: Type.Object({ fp32: Type.String(), q8: Type.Optional(Type.String()) }),
  tokenizer: Type.String(),
  /** Pixels along a patch's edge. */
  patch: positive,
  text: Type.Object({ max_tokens: positive, pad_id: Type.Literal(0) }),
  image: Type.Object({ side: positive }),
  video: Type.Object({ side: positive, min_frames: positive, max_frames: positive }),
});
export type UnifiedManifest = Static<typeof UnifiedManifest>;

/** Before a text goes to the model, `{text}` in one of these becomes it. */
const Prompt = Type.String({ pattern: '\\{text\\}' });

/** What models share whose files come from a hub and which `@huggingface/transformers` runs. */
const HUB = {
  ...COMMON,
  /** Where the files come from: a repository and the commit that is pinned. */
  source: Type.Object({
    repository: Type.String({ pattern: '^[\\w.-]+/[\\w.-]+$' }),
    revision: Type.String({ minLength: 1 }),
  }),
  /** Every file, pinned; `{}` for one whose digest becomes known, and is locked, when it is fetched. */
  files: Type.Record(FilePath, Type.Object({ bytes: Type.Optional(positive), sha256: Type.Optional(sha256) }), {
    additionalProperties: false,
  }),
  /** The files that each arithmetic needs besides those which all need; every one is listed in `files`. */
  dtypes: Type.Partial(
    Type.Object({
      fp32: Type.Array(Type.String()),
      fp16: Type.Array(Type.String()),
      q8: Type.Array(Type.String()),
      q4: Type.Array(Type.String()),
    }),
  ),
  prompts: Type.Object({ query: Prompt, document: Prompt }),
  text: Type.Object({ max_tokens: positive }),
  /** Pictures go to the model's own processor as they are up to `max_side`; `max_tokens` is what one becomes. */
  image: Type.Object({ max_side: positive, max_tokens: positive }),
  /** Frames likewise; `max_tokens` is what one frame becomes. */
  video: Type.Object({ max_side: positive, max_tokens: positive, min_frames: positive, max_frames: positive }),
};

/** EmbeddingGemma 2: pictures and frames become soft tokens of one bidirectional transformer. */
export const EmbeddingGemma2Manifest = Type.Object({ ...HUB, family: Type.Literal('embeddinggemma2') });
export type EmbeddingGemma2Manifest = Static<typeof EmbeddingGemma2Manifest>;

/** Two towers into one space: CLIP, SigLIP, jina-clip. A clip is the average of its frames. */
export const ClipManifest = Type.Object({ ...HUB, family: Type.Literal('clip') });
export type ClipManifest = Static<typeof ClipManifest>;

/** A model of the Gemini API: nothing of it is here. */
export const GeminiManifest = Type.Object({
  ...COMMON,
  family: Type.Literal('gemini'),
  /** Its name there. */
  api_model: Type.String(),
  prompts: Type.Object({ query: Prompt, document: Prompt }),
  text: Type.Object({ max_tokens: positive }),
  /** Pictures are sent no larger than this; clips are sent as they are, and decoded here only to be checked. */
  image: Type.Object({ max_side: positive, max_tokens: positive }),
  video: Type.Object({ max_side: positive, max_tokens: positive, min_frames: positive, max_frames: positive }),
});
export type GeminiManifest = Static<typeof GeminiManifest>;

export type HubManifest = EmbeddingGemma2Manifest | ClipManifest;

/** Models that run in this process. */
export type LocalManifest = UnifiedManifest | HubManifest;

/** The contract of a model: the content of its `model.json`. */
export const ModelManifest = Type.Union([UnifiedManifest, EmbeddingGemma2Manifest, ClipManifest, GeminiManifest]);
export type ModelManifest = Static<typeof ModelManifest>;

/** Most tokens of one sequence. */
export function maxSequenceTokens(manifest: ModelManifest): number {
  const { text } = manifest;
  if (manifest.family === 'unified')
    return text.max_tokens + manifest.video.max_frames * (manifest.video.side / manifest.patch) ** 2;
  // One sequence for all that is in the input; or the longest that a tower takes.
  return manifest.family === 'embeddinggemma2' ? text.max_tokens : Math.max(text.max_tokens, manifest.image.max_tokens);
}

/** Whether the model embeds a question otherwise than a document. */
export const distinguishesRoles = (manifest: ModelManifest): boolean =>
  'prompts' in manifest && manifest.prompts.query !== manifest.prompts.document;

/** A full commit id; its beginning identifies it as well. */
const COMMIT = /^[0-9a-f]{40}$/;
const SHORT_COMMIT_CHARACTERS = 12;

/** Name and revision of a model as one word, `name@revision`: tells two versions of a model apart. */
export function modelId({ name, revision }: Pick<ModelManifest, 'name' | 'revision'>): string {
  return `${name}@${COMMIT.test(revision) ? revision.slice(0, SHORT_COMMIT_CHARACTERS) : revision}`;
}
