/** The thread that owns the two towers of a CLIP-shaped model. */
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
import { type HostedSession, hostSession, onFirstDevice } from '../../worker/worker-main.js';
import type { HubInput, HubPart, HubSetup } from '../transformers/family.js';
import {
  batchRunner,
  type EncodedBatch,
  fitText,
  loadOptions,
  markCount,
  normalised,
  toRawImage,
  unitRows,
} from '../transformers/runtime.js';

const setup = workerData as HubSetup<ClipManifest>;
const { manifest, dir } = setup;

/** Pictures of one pass: a batch of clips would fill the memory otherwise. */
const MAX_PICTURES = 64;
/** What the towers of the models of this shape call their vectors. */
const TEXT_OUTPUTS = ['text_embeds', 'pooler_output'];
const IMAGE_OUTPUTS = ['image_embeds', 'pooler_output'];

interface Towers {
  textModel: PreTrainedModel;
  visionModel: PreTrainedModel;
  tokenizer: PreTrainedTokenizer;
  imageProcessor: ImageProcessor;
  /** Tokens that mark the beginning and the end of every text. */
  marks: number;
  /** Whether the text tower wants every text at its full length: SigLIP reads the last place. */
  fullLength: boolean;
}

interface EncodedText {
  vector: Float32Array;
  tokens: number;
  truncated: boolean;
}

async function open(device: Device): Promise<HostedSession<readonly HubInput[]>> {
  const options = loadOptions(setup, device);
  const { model_type: kind } = (await AutoConfig.from_pretrained(dir, options)) as { model_type: string };
  const tokenizer = await AutoTokenizer.from_pretrained(dir, options);
  const towers: Towers = {
    // The graphs of the other kinds have other outputs; loading and running them is the same.
    textModel: await CLIPTextModelWithProjection.from_pretrained(dir, options),
    visionModel: await CLIPVisionModelWithProjection.from_pretrained(dir, options),
    tokenizer,
    imageProcessor: await AutoImageProcessor.from_pretrained(dir, options),
    marks: markCount(tokenizer),
    fullLength: kind.startsWith('siglip'),
  };
  await encode(towers, [{ role: 'query', parts: [{ text: 'warm up' }] }]);
  const run = await batchRunner(setup, (inputs) => encode(towers, inputs));
  return { device, run, release: () => Promise.all([towers.textModel.dispose(), towers.visionModel.dispose()]) };
}

/** All texts of a batch in one pass, all pictures in others; then what belongs to one input is averaged. */
async function encode(towers: Towers, inputs: readonly HubInput[]): Promise<EncodedBatch> {
  const texts = inputs.flatMap(({ role, parts }) =>
    parts.flatMap((part) => ('text' in part ? [[role, part.text] as const] : [])),
  );
  const frames = inputs.flatMap(({ parts }) => parts.flatMap((part) => ('frames' in part ? part.frames : [])));
  const textQueue = (
    await encodeTexts(
      towers,
      texts.map(([role, text]) => manifest.prompts[role].replace('{text}', () => text)),
    )
  ).values();
  const pictureQueue = (await encodePictures(towers, frames.map(toRawImage))).values();
  const encodedParts = (part: HubPart): EncodedText => {
    if ('text' in part) return textQueue.next().value as EncodedText;
    const vectors = part.frames.map(() => pictureQueue.next().value as Float32Array);
    const perPicture = part.modality === 'image' ? manifest.image.max_tokens : manifest.video.max_tokens;
    return { vector: average(vectors), tokens: vectors.length * perPicture, truncated: false };
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
  const { tokenizer, textModel, marks, fullLength } = towers;
  const maxTokens = manifest.text.max_tokens;
  const fitted = texts.map((text) => fitText(tokenizer, text, maxTokens - marks));
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
    tokens: tokens + marks,
    truncated,
  }));
}

async function encodePictures(
  { imageProcessor, visionModel }: Towers,
  pictures: readonly RawImage[],
): Promise<Float32Array[]> {
  const vectors: Float32Array[] = [];
  for (let start = 0; start < pictures.length; start += MAX_PICTURES) {
    const inputs = (await imageProcessor(pictures.slice(start, start + MAX_PICTURES))) as Record<string, Tensor>;
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

/** The middle of unit vectors, on the unit sphere again. */
function average(vectors: readonly Float32Array[]): Float32Array {
  const [first, ...rest] = vectors as [Float32Array, ...Float32Array[]];
  if (rest.length === 0) return first;
  const sum = Float32Array.from(first);
  for (const vector of rest) for (const [i, x] of vector.entries()) sum[i] = (sum[i] as number) + x;
  return normalised(sum);
}

await hostSession(() => onFirstDevice(setup.devices, open));
