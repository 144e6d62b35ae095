/** The thread that owns one EmbeddingGemma 2. Its processor, graphs and their order are those of the library. */
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
import { type HostedSession, hostSession, onFirstDevice } from '../../worker/worker-main.js';
import type { HubInput, HubPart, HubSetup } from '../transformers/family.js';
import { mediaTokens } from '../transformers/family.js';
import {
  batchRunner,
  type EncodedBatch,
  fitText,
  loadOptions,
  markCount,
  toRawImage,
  unitRows,
} from '../transformers/runtime.js';

const setup = workerData as HubSetup<EmbeddingGemma2Manifest>;
const { manifest, dir } = setup;

interface Loaded {
  model: EmbeddingGemma2Model;
  processor: EmbeddingGemma2Processor;
  tokenizer: PreTrainedTokenizer;
  /** Tokens that mark the beginning and the end of every sequence. */
  marks: number;
}

async function open(device: Device): Promise<HostedSession<readonly HubInput[]>> {
  const options = loadOptions(setup, device);
  const config = await AutoConfig.from_pretrained(dir, options);
  // There is no sound in what this service takes: two fifths of the weights stay where they are.
  Object.assign(config, { audio_config: null });
  const model = (await EmbeddingGemma2Model.from_pretrained(dir, { ...options, config })) as EmbeddingGemma2Model;
  const processor = (await AutoProcessor.from_pretrained(dir, options)) as EmbeddingGemma2Processor;
  const tokenizer = processor.tokenizer as PreTrainedTokenizer;
  const loaded: Loaded = { model, processor, tokenizer, marks: markCount(tokenizer) };
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

/** The pictures of each part of one kind. */
const media = (parts: readonly HubPart[], modality: 'image' | 'video') =>
  parts.flatMap((part) => ('frames' in part && part.modality === modality ? [part.frames.map(toRawImage)] : []));

const orNone = <Item>(perInput: Item[][]): Item[][] | null =>
  perInput.some((items) => items.length > 0) ? perInput : null;

/**
 * The text of a sequence: the prompt, then the parts in their order, with a placeholder for each picture and clip,
 * as the model's chat template has it.
 */
function sequenceText(
  { processor, tokenizer, marks }: Loaded,
  { role, parts }: HubInput,
): { text: string; truncated: boolean } {
  const prompt = manifest.prompts[role];
  const media = parts.reduce((sum, part) => sum + mediaTokens(part, manifest), 0);
  let room = manifest.text.max_tokens - marks - media - tokenizer.encode(prompt, { add_special_tokens: false }).length;
  let content = '';
  let truncated = false;
  for (const [place, part] of parts.entries()) {
    if ('frames' in part) {
      content += part.modality === 'image' ? processor.image_token : processor.video_token;
      continue;
    }
    const before = parts[place - 1];
    if (before !== undefined && 'text' in before) content += '\n';
    const fitted = fitText(tokenizer, withoutPlaceholders(processor, part.text), room);
    content += fitted.text;
    room -= fitted.tokens;
    truncated ||= fitted.truncated;
  }
  return { text: prompt.replace('{text}', () => content), truncated };
}

/** Words of a caller never stand for a picture. */
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

await hostSession(() => onFirstDevice(setup.devices, open));
