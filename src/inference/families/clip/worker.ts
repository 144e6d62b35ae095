/** The worker thread that owns the two towers of a model in the shape of CLIP. */
import { workerData } from 'node:worker_threads';
import {
  AutoConfig,
  AutoImageProcessor,
  AutoTokenizer,
  CLIPTextModelWithProjection,
  CLIPVisionModelWithProjection,
  type ImageProcessor,
  type PreTrainedModel,
  type PreTrainedTokenizer,
  type RawImage,
  type Tensor,
} from '@huggingface/transformers';
import type { ClipManifest } from '../../../models/manifest.js';
import type { Device } from '../../device.js';
import { onFirstDevice, runWorker, type Session } from '../../worker/worker-main.js';
import type { HubInput, HubPart, HubSetup } from '../transformers/family.js';
import {
  batchRunner,
  type EncodedBatch,
  fitText,
  loadOptions,
  normalised,
  specialTokenCount,
  toRawImage,
  unitRows,
} from '../transformers/runtime.js';

const setup = workerData as HubSetup<ClipManifest>;
const { manifest, dir } = setup;

/** Images of one forward pass: bounds the memory of a batch of videos. */
const MAX_IMAGES = 64;
/** Names of the towers' outputs, by which exporters differ. */
const TEXT_OUTPUTS = ['text_embeds', 'pooler_output'];
const IMAGE_OUTPUTS = ['image_embeds', 'pooler_output'];

interface Towers {
  textModel: PreTrainedModel;
  visionModel: PreTrainedModel;
  tokenizer: PreTrainedTokenizer;
  imageProcessor: ImageProcessor;
  /** Special tokens that the tokenizer adds to every text. */
  specialTokens: number;
  /** Whether every text is padded to the full length: SigLIP reads the vector at the last position. */
  fullLength: boolean;
}

interface EncodedText {
  vector: Float32Array;
  tokens: number;
  truncated: boolean;
}

async function open(device: Device): Promise<Session<readonly HubInput[]>> {
  const options = loadOptions(setup, device);
  const { model_type: kind } = (await AutoConfig.from_pretrained(dir, options)) as { model_type: string };
  const tokenizer = await AutoTokenizer.from_pretrained(dir, options);
  const towers: Towers = {
    // The towers of other model types load and run in the same way; only the names of their outputs differ.
    textModel: await CLIPTextModelWithProjection.from_pretrained(dir, options),
    visionModel: await CLIPVisionModelWithProjection.from_pretrained(dir, options),
    tokenizer,
    imageProcessor: await AutoImageProcessor.from_pretrained(dir, options),
    specialTokens: specialTokenCount(tokenizer),
    fullLength: kind.startsWith('siglip'),
  };
  await encode(towers, [{ role: 'query', parts: [{ text: 'warm up' }] }]);
  const run = await batchRunner(setup, (inputs) => encode(towers, inputs));
  return { device, run, release: () => Promise.all([towers.textModel.dispose(), towers.visionModel.dispose()]) };
}

/** All texts of a batch in one forward pass, all images in others; then the vectors of each input are averaged. */
async function encode(towers: Towers, inputs: readonly HubInput[]): Promise<EncodedBatch> {
  const texts = inputs.flatMap(({ role, parts }) =>
    parts.flatMap((part) => ('text' in part ? [[role, part.text] as const] : [])),
  );
  const frames = inputs.flatMap(({ parts }) => parts.flatMap((part) => ('frames' in part ? part.frames : [])));
  const encodedTexts = (
    await encodeTexts(
      towers,
      texts.map(([role, text]) => manifest.prompts[role].replace('{text}', () => text)),
    )
  ).values();
  const imageVectors = (await encodeImages(towers, frames.map(toRawImage))).values();
  const encodedParts = (part: HubPart): EncodedText => {
    if ('text' in part) return encodedTexts.next().value as EncodedText;
    const vectors = part.frames.map(() => imageVectors.next().value as Float32Array);
    const tokensPerFrame = part.modality === 'image' ? manifest.image.max_tokens : manifest.video.max_tokens;
    return { vector: average(vectors), tokens: vectors.length * tokensPerFrame, truncated: false };
  };
  const encoded = inputs.map(({ parts }) => parts.map(encodedParts));
  return {
    vectors: encoded.map((parts) => average(parts.map(({ vector }) => vector))),
    counts: encoded.map((parts) => ({
      tokens: parts.reduce((sum, { tokens }) => sum + tokens, 0),
      truncated: parts.some(({ truncated }) => truncated),
    })),
  };
}

async function encodeTexts(towers: Towers, texts: readonly string[]): Promise<EncodedText[]> {
  if (texts.length === 0) return [];
  const { tokenizer, textModel, specialTokens, fullLength } = towers;
  const maxTokens = manifest.text.max_tokens;
  const fitted = texts.map((text) => fitText(tokenizer, text, maxTokens - specialTokens));
  const length = fullLength
    ? ({ padding: 'max_length', max_length: maxTokens, truncation: true } as const)
    : { padding: true };
  const inputs = tokenizer(
    fitted.map(({ text }) => text),
    length,
  );
  const vectors = unitRows(outputOf((await textModel(inputs)) as Record<string, Tensor>, TEXT_OUTPUTS));
  return fitted.map(({ tokens, truncated }, i) => ({
    vector: vectors[i] as Float32Array,
    tokens: tokens + specialTokens,
    truncated,
  }));
}

async function encodeImages(
  { imageProcessor, visionModel }: Towers,
  images: readonly RawImage[],
): Promise<Float32Array[]> {
  const vectors: Float32Array[] = [];
  for (let start = 0; start < images.length; start += MAX_IMAGES) {
    const inputs = (await imageProcessor(images.slice(start, start + MAX_IMAGES))) as Record<string, Tensor>;
    vectors.push(...unitRows(outputOf((await visionModel(inputs)) as Record<string, Tensor>, IMAGE_OUTPUTS)));
  }
  return vectors;
}

function outputOf(outputs: Record<string, Tensor>, names: readonly string[]): { data: Float32Array; dims: number[] } {
  const name = names.find((candidate) => candidate in outputs);
  if (name === undefined)
    throw new Error(`A tower has none of the outputs ${names.join(', ')}, but ${Object.keys(outputs).join(', ')}.`);
  return outputs[name] as unknown as { data: Float32Array; dims: number[] };
}

/** The mean of unit vectors, scaled to norm 1. */
function average(vectors: readonly Float32Array[]): Float32Array {
  const [first, ...rest] = vectors as [Float32Array, ...Float32Array[]];
  if (rest.length === 0) return first;
  const sum = Float32Array.from(first);
  for (const vector of rest) for (const [i, x] of vector.entries()) sum[i] = (sum[i] as number) + x;
  return normalised(sum);
}

await runWorker(() => onFirstDevice(setup.devices, open));
