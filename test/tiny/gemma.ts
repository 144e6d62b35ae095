import { asFloat, block, layerNorm, linear, positions as positionsOf, type Width } from './layers.js';
import { Graph, type Value } from './onnx.js';
import { GEMMA_IDS, gemmaTokenizer } from './tokenizers.js';
import { graphFiles, json, writeModel } from './write.js';

const WIDTH: Width = { width: 32, heads: 2 };
const DIM = 48;
/** Rows of the embedding table: ids are taken modulo this, which keeps the table small. */
const WORDS = 509;
const MAX_TOKENS = 2048;
const PATCH_NUMBERS = 16 * 16 * 3;
const MAX_PATCHES_ACROSS = 1024;
const POOLED_PATCHES = 9;

/**
 * Writes an EmbeddingGemma 2 of random weights: the files, inputs, outputs and settings of
 * `onnx-community/embeddinggemma-2-ONNX`, without sound, and a transformer small enough for a test.
 */
export async function writeTinyGemma(dir: string, { name = 'tiny-gemma', seed = 1 } = {}): Promise<void> {
  const files = new Map([
    ...graphFiles('model', textGraph(seed), { external: true }),
    ...graphFiles('vision_encoder', visionGraph(seed + 1), { external: true }),
    ['config.json', json(CONFIG)],
    ['preprocessor_config.json', json({ ...IMAGE_PROCESSOR, processor_class: 'EmbeddingGemma2Processor' })],
    ['processor_config.json', json(PROCESSOR)],
    ['tokenizer.json', json(gemmaTokenizer())],
    ['tokenizer_config.json', json(TOKENIZER_CONFIG)],
  ]);
  await writeModel(dir, files, {
    ...MANIFEST,
    name,
    revision: `seed-${seed}`,
    dtypes: { fp32: [...files.keys()].filter((file) => file.startsWith('onnx/')) },
  });
}

/** Ids and soft tokens -> the mean of the transformer's states, at norm 1. */
function textGraph(seed: number): Graph {
  const graph = new Graph(seed);
  const { width } = WIDTH;
  const ids = graph.input('input_ids', 'int64', ['batch', 'length']);
  const mask = graph.input('attention_mask', 'int64', ['batch', 'length']);
  let x = graph.node('Gather', [graph.weights([WORDS, width], 8), graph.node('Mod', [ids, graph.ints([], [WORDS])])]);
  for (const kind of ['image', 'video', 'audio'] as const) {
    const features = graph.input(`${kind}_features`, 'float32', [`${kind}_tokens`, width]);
    x = putAt(graph, x, ids, GEMMA_IDS[`<|${kind}|>`], features);
  }
  const positions = graph.node('Gather', [graph.weights([MAX_TOKENS, width], 8), positionsOf(graph, ids, 1)]);
  x = graph.node('Add', [x, positions]);
  const weight = asFloat(graph, mask);
  const hidden = graph.node('Mul', [graph.node('Sub', [weight, graph.floats([], [1])]), graph.floats([], [1e9])]);
  const bias = graph.node('Unsqueeze', [hidden, graph.ints([2], [1, 2])]);
  for (let layer = 0; layer < 2; layer++) x = block(graph, x, WIDTH, bias);
  const states = linear(graph, layerNorm(graph, x, width), width, DIM);
  graph.output('last_hidden_state', states, ['batch', 'length', DIM]);
  graph.output('sentence_embedding', meanAtNormOne(graph, states, weight), ['batch', DIM]);
  return graph;
}

/** `x` with the rows of `features` at the positions whose id is `id`, in their order over the whole batch. */
function putAt(graph: Graph, x: Value, ids: Value, id: number, features: Value): Value {
  const flat = graph.node('Reshape', [x, graph.ints([2], [-1, WIDTH.width])]);
  const isMatch = graph.node('Equal', [graph.node('Reshape', [ids, graph.ints([1], [-1])]), graph.ints([], [id])]);
  const indices = graph.node('Transpose', [graph.node('NonZero', [isMatch])], { perm: [1, 0] });
  return graph.node('Reshape', [graph.node('ScatterND', [flat, indices, features]), graph.node('Shape', [x])]);
}

function meanAtNormOne(graph: Graph, states: Value, weight: Value): Value {
  const weights = graph.node('Unsqueeze', [weight, graph.ints([1], [2])]);
  const sum = graph.node('ReduceSum', [graph.node('Mul', [states, weights]), graph.ints([1], [1])], { keepdims: 0 });
  const mean = graph.node('Div', [sum, graph.node('ReduceSum', [weight, graph.ints([1], [1])], { keepdims: 1 })]);
  return graph.node('LpNormalization', [mean], { axis: -1, p: 2 });
}

/** Patches with their positions -> a soft token for every nine of them; padding has the position (-1, -1). */
function visionGraph(seed: number): Graph {
  const graph = new Graph(seed);
  const { width } = WIDTH;
  const pixels = graph.input('pixel_values', 'float32', ['images', 'patches', PATCH_NUMBERS]);
  const positions = graph.input('pixel_position_ids', 'int64', ['images', 'patches', 2]);
  const part = (axis: number) => graph.node('Gather', [positions, graph.ints([], [axis])], { axis: 2 });
  const isPatch = graph.node('GreaterOrEqual', [part(0), graph.ints([], [0])]);
  const at = (axis: number) => {
    const column = graph.node('Max', [part(axis), graph.ints([], [0])]);
    return graph.node('Gather', [graph.weights([MAX_PATCHES_ACROSS, width], 8), column]);
  };
  const embedded = graph.node('Add', [at(0), at(1)]);
  let x = graph.node('Tanh', [graph.node('Add', [linear(graph, pixels, PATCH_NUMBERS, width), embedded])]);
  // Every patch attends to its whole image, and to no other image.
  const weight = graph.node('Unsqueeze', [asFloat(graph, isPatch), graph.ints([1], [2])]);
  const sum = graph.node('ReduceSum', [graph.node('Mul', [x, weight]), graph.ints([1], [1])], { keepdims: 1 });
  const mean = graph.node('Div', [sum, graph.node('ReduceSum', [weight, graph.ints([1], [1])], { keepdims: 1 })]);
  x = graph.node('Add', [x, linear(graph, mean, width, width)]);
  const flat = graph.node('Reshape', [x, graph.ints([2], [-1, width])]);
  const kept = graph.node('Compress', [flat, graph.node('Reshape', [isPatch, graph.ints([1], [-1])])], { axis: 0 });
  const groups = graph.node('Reshape', [kept, graph.ints([3], [-1, POOLED_PATCHES, width])]);
  graph.output('image_features', graph.node('ReduceMean', [groups], { axes: [1], keepdims: 0 }), ['tokens', width]);
  return graph;
}

// The settings of the public repository, as far as the library reads them.

const CONFIG = {
  architectures: ['EmbeddingGemma2Model'],
  model_type: 'embedding_gemma2',
  image_token_id: GEMMA_IDS['<|image|>'],
  video_token_id: GEMMA_IDS['<|video|>'],
  audio_token_id: GEMMA_IDS['<|audio|>'],
  text_config: { hidden_size: WIDTH.width, embedding_dim: DIM },
  vision_config: { model_type: 'gemma4_vision' },
  audio_config: { model_type: 'gemma4_audio' },
  'transformers.js_config': { use_external_data_format: { 'model.onnx': 1, 'vision_encoder.onnx': 1 } },
};

const IMAGE_PROCESSOR = {
  do_convert_rgb: true,
  do_normalize: false,
  do_rescale: true,
  do_resize: true,
  image_processor_type: 'Gemma4ImageProcessor',
  image_seq_length: 280,
  max_soft_tokens: 280,
  patch_size: 16,
  pooling_kernel_size: 3,
  resample: 3,
  rescale_factor: 1 / 255,
};

const PROCESSOR = {
  processor_class: 'EmbeddingGemma2Processor',
  image_seq_length: 280,
  image_processor: IMAGE_PROCESSOR,
  video_processor: {
    ...IMAGE_PROCESSOR,
    add_timestamps: false,
    max_soft_tokens: 140,
    max_frames: 32,
    overflow_strategy: 'uniform',
    video_processor_type: 'EmbeddingGemma2VideoProcessor',
  },
};

const TOKENS = {
  pad_token: '<pad>',
  eos_token: '<eos>',
  bos_token: '<bos>',
  unk_token: '<unk>',
  image_token: '<|image|>',
  video_token: '<|video|>',
  audio_token: '<|audio|>',
  boi_token: '<|image>',
  eoi_token: '<image|>',
  boa_token: '<|audio>',
  eoa_token: '<audio|>',
};

const TOKENIZER_CONFIG = {
  ...TOKENS,
  tokenizer_class: 'GemmaTokenizer',
  processor_class: 'EmbeddingGemma2Processor',
  padding_side: 'right',
  model_max_length: 1e30,
};

const MANIFEST = {
  family: 'embeddinggemma2',
  dim: DIM,
  matryoshka: [DIM, 24],
  licence: 'Apache-2.0',
  description: 'Random weights in the shape of EmbeddingGemma 2, for tests.',
  source: { repository: 'onnx-community/embeddinggemma-2-ONNX', revision: 'none' },
  prompts: { query: 'task: search result | query: {text}', document: 'title: none | text: {text}' },
  text: { max_tokens: MAX_TOKENS },
  image: { max_side: 1024, max_tokens: 282 },
  video: { max_side: 1024, max_tokens: 142, min_frames: 1, max_frames: 32 },
  modalities: ['text', 'image', 'video'],
  temporal: true,
};
