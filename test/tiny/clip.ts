import { block, layerNorm, positions, type Width } from './layers.js';
import { Graph, type Value } from './onnx.js';
import { CLIP_IDS, clipTokenizer, gemmaTokenizer } from './tokenizers.js';
import { graphFiles, json, writeModel } from './write.js';

/** The sizes of the towers. */
export interface ClipSize {
  dim: number;
  layers: number;
  text: Width;
  vision: Width;
  /** Pixels along the edge of the image, and of a patch. */
  side: number;
  patch: number;
}

const TINY: ClipSize = {
  dim: 24,
  layers: 2,
  text: { width: 32, heads: 2 },
  vision: { width: 32, heads: 2 },
  side: 64,
  patch: 16,
};

/** The sizes of ViT-B/32 of CLIP, for measurements. */
export const BASE: ClipSize = {
  dim: 512,
  layers: 12,
  text: { width: 512, heads: 8 },
  vision: { width: 768, heads: 12 },
  side: 224,
  patch: 32,
};

interface ClipOptions {
  name?: string;
  seed?: number;
  /** CLIP reads the vector of a text at its end token, SigLIP at the last of its 64 positions. */
  kind?: 'clip' | 'siglip';
  size?: ClipSize;
  /** Words that are one token each, as plain words are in real vocabularies. */
  words?: readonly string[];
}

const WORDS = 509;
const SETTINGS = {
  clip: { textTokens: 77, textOutput: 'text_embeds', imageOutput: 'image_embeds', resample: 3 },
  siglip: { textTokens: 64, textOutput: 'pooler_output', imageOutput: 'pooler_output', resample: 2 },
} as const;

/**
 * Writes a model of two towers of random weights, with the files, inputs, outputs and settings of
 * `Xenova/clip-vit-base-patch32`, or those of `onnx-community/siglip2-base-patch16-224-ONNX`.
 */
export async function writeTinyClip(
  dir: string,
  { kind = 'clip', name = `tiny-${kind}`, seed = 1, size = TINY, words }: ClipOptions = {},
): Promise<void> {
  const files = new Map([
    ...graphFiles('text_model', textGraph(seed, kind, size)),
    ...graphFiles('vision_model', visionGraph(seed + 1, kind, size)),
    ['config.json', json({ model_type: kind, architectures: [kind === 'clip' ? 'CLIPModel' : 'SiglipModel'] })],
    ['preprocessor_config.json', json(imageProcessor(kind, size))],
    ['tokenizer.json', json(kind === 'clip' ? clipTokenizer(words) : gemmaTokenizer({ begin: false }))],
    ['tokenizer_config.json', json(kind === 'clip' ? CLIP_TOKENIZER : SIGLIP_TOKENIZER)],
  ]);
  await writeModel(dir, files, {
    ...manifestOf(kind, size),
    name,
    revision: `seed-${seed}`,
    dtypes: { fp32: ['onnx/text_model.onnx', 'onnx/vision_model.onnx'] },
  });
}

function textGraph(seed: number, kind: 'clip' | 'siglip', { dim, layers, text }: ClipSize): Graph {
  const graph = new Graph(seed);
  const { textTokens, textOutput } = SETTINGS[kind];
  const { width } = text;
  const ids = graph.input('input_ids', 'int64', ['batch', 'length']);
  const words = graph.node('Gather', [
    graph.weights([WORDS, width], 8),
    graph.node('Mod', [ids, graph.ints([], [WORDS])]),
  ]);
  const at = positions(graph, ids, 1);
  let x = graph.node('Add', [words, graph.node('Gather', [graph.weights([textTokens, width], 8), at])]);
  const bias = kind === 'clip' ? causalBias(graph, at) : undefined;
  for (let layer = 0; layer < layers; layer++) x = block(graph, x, text, bias);
  const last =
    kind === 'clip' ? atEnd(graph, layerNorm(graph, x, width), ids) : lastPosition(graph, layerNorm(graph, x, width));
  graph.output(textOutput, graph.node('MatMul', [last, graph.weights([width, dim])]), ['batch', dim]);
  return graph;
}

/** No position attends to a later one. */
function causalBias(graph: Graph, at: Value): Value {
  const [rows, columns] = [
    graph.node('Unsqueeze', [at, graph.ints([1], [1])]),
    graph.node('Unsqueeze', [at, graph.ints([1], [0])]),
  ];
  const later = graph.node('Cast', [graph.node('Less', [rows, columns])], { to: 1 });
  return graph.node('Mul', [later, graph.floats([], [-1e9])]);
}

/** The state at the first end token, which has the largest id; positions after it are padded with the same id. */
function atEnd(graph: Graph, x: Value, ids: Value): Value {
  const end = graph.node('ArgMax', [ids], { axis: 1, keepdims: 1 });
  return graph.node('GatherND', [x, end], { batch_dims: 1 });
}

const lastPosition = (graph: Graph, x: Value): Value => graph.node('Gather', [x, graph.ints([], [-1])], { axis: 1 });

function visionGraph(seed: number, kind: 'clip' | 'siglip', { dim, layers, vision, side, patch }: ClipSize): Graph {
  const graph = new Graph(seed);
  const { width } = vision;
  const count = (side / patch) ** 2;
  const pixels = graph.input('pixel_values', 'float32', ['images', 3, side, side]);
  const kernel = graph.node('Reshape', [
    graph.weights([3 * patch * patch, width]),
    graph.ints([4], [width, 3, patch, patch]),
  ]);
  const patches = graph.node('Conv', [pixels, kernel], { kernel_shape: [patch, patch], strides: [patch, patch] });
  const rows = graph.node('Transpose', [graph.node('Reshape', [patches, graph.ints([3], [0, width, count])])], {
    perm: [0, 2, 1],
  });
  let x = graph.node('Add', [rows, graph.weights([count, width], 1)]);
  for (let layer = 0; layer < layers; layer++) x = block(graph, x, vision, undefined);
  const mean = graph.node('ReduceMean', [layerNorm(graph, x, width)], { axes: [1], keepdims: 0 });
  graph.output(SETTINGS[kind].imageOutput, graph.node('MatMul', [mean, graph.weights([width, dim])]), ['images', dim]);
  return graph;
}

const imageProcessor = (kind: 'clip' | 'siglip', { side }: ClipSize) => ({
  image_processor_type: kind === 'clip' ? 'CLIPImageProcessor' : 'SiglipImageProcessor',
  do_resize: true,
  do_rescale: true,
  do_normalize: true,
  rescale_factor: 1 / 255,
  resample: SETTINGS[kind].resample,
  ...(kind === 'clip'
    ? {
        do_center_crop: true,
        size: { shortest_edge: side },
        crop_size: { width: side, height: side },
        image_mean: [0.48145466, 0.4578275, 0.40821073],
        image_std: [0.26862954, 0.26130258, 0.27577711],
      }
    : { size: { width: side, height: side }, image_mean: [0.5, 0.5, 0.5], image_std: [0.5, 0.5, 0.5] }),
});

const CLIP_TOKENIZER = {
  tokenizer_class: 'CLIPTokenizer',
  bos_token: '<|startoftext|>',
  eos_token: '<|endoftext|>',
  unk_token: '<|endoftext|>',
  pad_token: '<|endoftext|>',
  pad_token_id: CLIP_IDS['<|endoftext|>'],
  model_max_length: SETTINGS.clip.textTokens,
};
const SIGLIP_TOKENIZER = {
  tokenizer_class: 'GemmaTokenizer',
  bos_token: '<bos>',
  eos_token: '<eos>',
  unk_token: '<unk>',
  pad_token: '<pad>',
  padding_side: 'right',
  model_max_length: SETTINGS.siglip.textTokens,
};

const manifestOf = (kind: 'clip' | 'siglip', { dim, side, patch }: ClipSize) => {
  const max_tokens = (side / patch) ** 2;
  return {
    family: 'clip',
    dim,
    matryoshka: [dim],
    licence: 'Apache-2.0',
    description: `Random weights in the shape of ${kind === 'clip' ? 'CLIP' : 'SigLIP 2'}, for tests.`,
    source: { repository: 'none/none', revision: 'none' },
    prompts: { query: '{text}', document: '{text}' },
    text: { max_tokens: SETTINGS[kind].textTokens },
    image: { max_side: 1024, max_tokens },
    video: { max_side: 1024, max_tokens, min_frames: 1, max_frames: 32 },
    modalities: ['text', 'image', 'video'],
    temporal: false,
  };
};
