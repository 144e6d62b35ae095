/** The worker thread that owns one EmbeddingGemma 2. Its processor and graphs are run by the library. */
import { workerData } from 'node:worker_threads';
import {
  AutoConfig,
  AutoProcessor,
  EmbeddingGemma2Model,
  type EmbeddingGemma2Processor,
  type PreTrainedTokenizer,
  RawVideo,
  type Tensor,
} from '@huggingface/transformers';
import type { EmbeddingGemma2Manifest } from '../../../models/manifest.js';
import type { Device } from '../../device.js';
import { onFirstDevice, runWorker, type Session } from '../../worker/worker-main.js';
import { type HubInput, type HubPart, type HubSetup, mediaTokens } from '../transformers/family.js';
import {
  batchRunner,
  type EncodedBatch,
  fitText,
  loadOptions,
  specialTokenCount,
  toRawImage,
  unitRows,
} from '../transformers/runtime.js';

const setup = workerData as HubSetup<EmbeddingGemma2Manifest>;
const { manifest, dir } = setup;

interface Loaded {
  model: EmbeddingGemma2Model;
  processor: EmbeddingGemma2Processor;
  tokenizer: PreTrainedTokenizer;
  /** Special tokens that the tokenizer adds to every sequence. */
  specialTokens: number;
}

async function open(device: Device): Promise<Session<readonly HubInput[]>> {
  const options = loadOptions(setup, device);
  const config = await AutoConfig.from_pretrained(dir, options);
  // No input has sound: the audio encoder, two fifths of the weights, is not loaded.
  Object.assign(config, { audio_config: null });
  const model = (await EmbeddingGemma2Model.from_pretrained(dir, { ...options, config })) as EmbeddingGemma2Model;
  const processor = (await AutoProcessor.from_pretrained(dir, options)) as EmbeddingGemma2Processor;
  const tokenizer = processor.tokenizer as PreTrainedTokenizer;
  const loaded: Loaded = { model, processor, tokenizer, specialTokens: specialTokenCount(tokenizer) };
  await encode(loaded, [{ role: 'query', parts: [{ text: 'warm up' }] }]);
  const run = await batchRunner(setup, (inputs) => encode(loaded, inputs));
  return { device, run, release: () => model.dispose() };
}

async function encode(loaded: Loaded, inputs: readonly HubInput[]): Promise<EncodedBatch> {
  const { model, processor } = loaded;
  const texts = inputs.map((input) => sequenceText(loaded, input));
  const images = inputs.map(({ parts }) => media(parts, 'image').map(([frame]) => frame));
  const videos = inputs.map(({ parts }) => media(parts, 'video').map((frames) => new RawVideo(frames, frames.length)));
  const processed = (await processor(
    texts.map(({ text }) => text),
    orNone(images),
    null,
    orNone(videos),
  )) as Record<string, Tensor>;
  const { sentence_embedding } = (await model(processed)) as Record<string, Tensor>;
  const mask = processed.attention_mask as Tensor;
  return {
    vectors: unitRows(sentence_embedding as { data: Float32Array; dims: number[] }),
    counts: texts.map(({ truncated }, row) => ({ tokens: lengthOf(mask, row), truncated })),
  };
}

/** The frames of each part of one modality. */
const media = (parts: readonly HubPart[], modality: 'image' | 'video') =>
  parts.flatMap((part) => ('frames' in part && part.modality === modality ? [part.frames.map(toRawImage)] : []));

const orNone = <Item>(perInput: Item[][]): Item[][] | null =>
  perInput.some((items) => items.length > 0) ? perInput : null;

/**
 * The text of a sequence: the prompt, then the parts in their order, with a placeholder for each image and video, as in
 * the model's chat template.
 */
function sequenceText(
  { processor, tokenizer, specialTokens }: Loaded,
  { role, parts }: HubInput,
): { text: string; truncated: boolean } {
  const prompt = manifest.prompts[role];
  const media = parts.reduce((sum, part) => sum + mediaTokens(part, manifest), 0);
  let room =
    manifest.text.max_tokens - specialTokens - media - tokenizer.encode(prompt, { add_special_tokens: false }).length;
  let content = '';
  let truncated = false;
  for (const [index, part] of parts.entries()) {
    if ('frames' in part) {
      content += part.modality === 'image' ? processor.image_token : processor.video_token;
      continue;
    }
    const previous = parts[index - 1];
    if (previous !== undefined && 'text' in previous) content += '\n';
    const fitted = fitText(tokenizer, withoutPlaceholders(processor, part.text), room);
    content += fitted.text;
    room -= fitted.tokens;
    truncated ||= fitted.truncated;
  }
  return { text: prompt.replace('{text}', () => content), truncated };
}

/** Breaks up placeholders in a caller's text, which would otherwise be read as images. */
function withoutPlaceholders(
  { image_token, video_token, audio_token }: EmbeddingGemma2Processor,
  text: string,
): string {
  const placeholders = [image_token, video_token, audio_token].filter((token) => typeof token === 'string');
  return placeholders.reduce(
    (rest, token) => rest.replaceAll(token, () => `${token.slice(0, 1)} ${token.slice(1)}`),
    text,
  );
}

/** Tokens of a row that are not padding. */
function lengthOf({ data, dims }: Tensor, row: number): number {
  const width = dims[1] ?? 0;
  let count = 0;
  for (const bit of (data as BigInt64Array).subarray(row * width, (row + 1) * width)) count += Number(bit);
  return count;
}

await runWorker(() => onFirstDevice(setup.devices, open));
