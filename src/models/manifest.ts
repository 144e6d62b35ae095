import { type Static, Type } from 'typebox';
import { MODALITIES } from '../common/modality.js';

const positive = Type.Integer({ minimum: 1 });
const sha256 = Type.String({ pattern: '^[0-9a-f]{64}$' });

/** A path within the model's folder; it cannot lead out of it. */
const FilePath = Type.String({ pattern: '^(?!.*\\.\\.)[A-Za-z0-9_][A-Za-z0-9._/-]*$' });

/** Fields of every manifest. */
const COMMON = {
  name: Type.String({ pattern: '^[a-z0-9][a-z0-9._-]*$' }),
  revision: Type.String({ minLength: 1, maxLength: 64 }),
  dim: positive,
  /** Numbers to which a vector may be shortened (and scaled to norm 1 again), largest first. */
  matryoshka: Type.Array(positive),
  licence: Type.String(),
  description: Type.String(),
  modalities: Type.Array(Type.Enum([...MODALITIES])),
  /** Whether the model knows the order of frames. */
  temporal: Type.Boolean(),
};

/** A model of the bundled architecture. */
export const UnifiedManifest = Type.Object({
  ...COMMON,
  family: Type.Literal('unified'),
  files: Type.Record(Type.String(), Type.Object({ bytes: positive, sha256 })),
  /** The graph for each dtype; they share their weights. */
  graphs: Type.Object({ fp32: Type.String(), q8: Type.Optional(Type.String()) }),
  tokenizer: Type.String(),
  /** Pixels along a patch's edge. */
  patch: positive,
  text: Type.Object({ max_tokens: positive, pad_id: Type.Literal(0) }),
  image: Type.Object({ side: positive }),
  video: Type.Object({ side: positive, min_frames: positive, max_frames: positive }),
});
export type UnifiedManifest = Static<typeof UnifiedManifest>;

/**
 * A model of the bundled architecture whose patches are the cells of a convolutional feature map: `stem` turns frames
 * into cells, and one sum of each frame, which the graphs read beside text.
 */
export const HybridManifest = Type.Object({
  ...COMMON,
  family: Type.Literal('hybrid'),
  files: UnifiedManifest.properties.files,
  graphs: UnifiedManifest.properties.graphs,
  stem: Type.String(),
  tokenizer: Type.String(),
  /** Pixels of a frame along a cell's edge. */
  patch: positive,
  /** Numbers that the stem makes of a cell. */
  cell: positive,
  /** `begin_id` and `end_id` stand around every text. */
  text: Type.Object({ max_tokens: positive, pad_id: Type.Literal(0), begin_id: positive, end_id: positive }),
  image: UnifiedManifest.properties.image,
  video: UnifiedManifest.properties.video,
});
export type HybridManifest = Static<typeof HybridManifest>;

/** A template: `{text}` is replaced by the text that is embedded. */
const Prompt = Type.String({ pattern: '\\{text\\}' });

/** Fields of models whose files come from a hub and which `@huggingface/transformers` runs. */
const HUB = {
  ...COMMON,
  /** Where the files come from: a repository and the pinned commit. */
  source: Type.Object({
    repository: Type.String({ pattern: '^[\\w.-]+/[\\w.-]+$' }),
    revision: Type.String({ minLength: 1 }),
  }),
  /** Every file, pinned; `{}` for a file that is locked by its digest when it is first downloaded. */
  files: Type.Record(FilePath, Type.Object({ bytes: Type.Optional(positive), sha256: Type.Optional(sha256) }), {
    additionalProperties: false,
  }),
  /** The files that one dtype needs besides those that every dtype needs; all of them are listed in `files`. */
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
  /** Images are given to the model's processor at their size, up to `max_side` pixels; one has up to `max_tokens`. */
  image: Type.Object({ max_side: positive, max_tokens: positive }),
  /** Frames of a video likewise; one frame has up to `max_tokens`. */
  video: Type.Object({ max_side: positive, max_tokens: positive, min_frames: positive, max_frames: positive }),
};

/** EmbeddingGemma 2: images and frames become soft tokens of one bidirectional transformer. */
export const EmbeddingGemma2Manifest = Type.Object({ ...HUB, family: Type.Literal('embeddinggemma2') });
export type EmbeddingGemma2Manifest = Static<typeof EmbeddingGemma2Manifest>;

/** Two towers into one space: CLIP, SigLIP, jina-clip. A video is the mean of its frames. */
export const ClipManifest = Type.Object({ ...HUB, family: Type.Literal('clip') });
export type ClipManifest = Static<typeof ClipManifest>;

/** A model of the Gemini API: it has no local files. */
export const GeminiManifest = Type.Object({
  ...COMMON,
  family: Type.Literal('gemini'),
  /** Its name in the API. */
  api_model: Type.String(),
  prompts: Type.Object({ query: Prompt, document: Prompt }),
  text: Type.Object({ max_tokens: positive }),
  /** Images are sent no larger than this; videos are sent as uploaded, and decoded here only to be checked. */
  image: Type.Object({ max_side: positive, max_tokens: positive }),
  video: Type.Object({ max_side: positive, max_tokens: positive, min_frames: positive, max_frames: positive }),
});
export type GeminiManifest = Static<typeof GeminiManifest>;

export type HubManifest = EmbeddingGemma2Manifest | ClipManifest;

/** Models that run in this process. */
export type LocalManifest = UnifiedManifest | HybridManifest | HubManifest;

/** Models that run behind an API. */
export type ApiManifest = GeminiManifest;

/** The contract of a model: the content of its `model.json`. */
export const ModelManifest = Type.Union([
  UnifiedManifest,
  HybridManifest,
  EmbeddingGemma2Manifest,
  ClipManifest,
  GeminiManifest,
]);
export type ModelManifest = Static<typeof ModelManifest>;

/** The most tokens of one sequence. */
export function maxSequenceTokens(manifest: ModelManifest): number {
  const { text } = manifest;
  if (manifest.family === 'unified')
    return text.max_tokens + manifest.video.max_frames * (manifest.video.side / manifest.patch) ** 2;
  if (manifest.family === 'hybrid')
    return text.max_tokens + manifest.video.max_frames * ((manifest.video.side / manifest.patch) ** 2 + 1);
  // EmbeddingGemma 2 reads an input as one sequence; a tower reads a text or an image.
  return manifest.family === 'embeddinggemma2' ? text.max_tokens : Math.max(text.max_tokens, manifest.image.max_tokens);
}

/** Whether the model embeds a query differently from a document. */
export const distinguishesRoles = (manifest: ModelManifest): boolean =>
  'prompts' in manifest && manifest.prompts.query !== manifest.prompts.document;

/** A full commit id; its beginning identifies it as well. */
const COMMIT = /^[0-9a-f]{40}$/;
const SHORT_COMMIT_CHARACTERS = 12;

/** Name and revision of a model as one word, `name@revision`: tells two versions of a model apart. */
export function modelId({ name, revision }: Pick<ModelManifest, 'name' | 'revision'>): string {
  return `${name}@${COMMIT.test(revision) ? revision.slice(0, SHORT_COMMIT_CHARACTERS) : revision}`;
}
