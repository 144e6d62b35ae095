/**
 * What the workers of models from a hub share. Only workers import `@huggingface/transformers`: a service with the
 * bundled model does not load it.
 */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { env, LogLevel, type PreTrainedTokenizer, RawImage } from '@huggingface/transformers';
import type { Frame } from '../../../media/frame.js';
import type { Device } from '../../device.js';
import { ORT_SESSION_OPTIONS } from '../../worker/ort-options.js';
import type { SessionOutput, TokenCount } from '../../worker/protocol.js';
import type { HubInput, HubSetup } from './family.js';

// The service starts only with files that are present and verified: the library must not download any.
env.allowRemoteModels = false;
env.useFSCache = false;
// The library throws its errors too; its log lines would contain the input.
env.logLevel = LogLevel.NONE;

/** Options that a model, or one of its towers, is loaded with. */
export const loadOptions = ({ dtype, threads }: HubSetup, device: Device) => ({
  dtype,
  device,
  local_files_only: true,
  session_options: {
    intraOpNumThreads: threads,
    graphOptimizationLevel: 'all' as const,
    extra: { session: ORT_SESSION_OPTIONS },
  },
});

/** A frame as the processor of a model takes it. */
export const toRawImage = ({ rgb, width, height }: Frame): RawImage =>
  new RawImage(new Uint8ClampedArray(rgb.buffer, rgb.byteOffset, rgb.byteLength), width, height, 3);

/**
 * Encodes the inputs of a batch together; one by one where the graph quantizes activations by the range of the whole
 * batch (DynamicQuantizeLinear), since a vector would depend on the other inputs of its batch.
 */
export async function batchRunner(
  setup: HubSetup,
  encode: (inputs: readonly HubInput[]) => Promise<EncodedBatch>,
): Promise<(inputs: readonly HubInput[]) => Promise<SessionOutput>> {
  const oneByOne = await quantizesActivations(setup);
  return async (inputs) => {
    const batches = oneByOne ? inputs.map((input) => [input]) : [inputs];
    const encoded: EncodedBatch[] = [];
    for (const batch of batches) encoded.push(await encode(batch));
    return {
      vectors: concatenate(encoded.flatMap(({ vectors }) => vectors)),
      counts: encoded.flatMap(({ counts }) => counts),
    };
  };
}

export interface EncodedBatch {
  /** A unit vector for each input. */
  vectors: Float32Array[];
  counts: TokenCount[];
}

async function quantizesActivations({ manifest, dir, dtype }: HubSetup): Promise<boolean> {
  // Other dtypes keep activations as floats, and their graphs may be gigabytes to read.
  if (dtype !== 'q8') return false;
  const graphs = (manifest.dtypes[dtype] ?? []).filter((file) => file.endsWith('.onnx'));
  const contents = await Promise.all(graphs.map((file) => readFile(path.join(dir, file))));
  // An ONNX file contains the names of its operators as plain bytes.
  return contents.some((content) => content.includes('DynamicQuantizeLinear'));
}

function concatenate(vectors: readonly Float32Array[]): Float32Array<ArrayBuffer> {
  const all = new Float32Array(vectors.reduce((sum, { length }) => sum + length, 0));
  let offset = 0;
  for (const vector of vectors) {
    all.set(vector, offset);
    offset += vector.length;
  }
  return all;
}

/** The vector scaled to norm 1. */
export function normalised(vector: Float32Array): Float32Array {
  const norm = Math.hypot(...vector);
  return vector.map((x) => x / norm);
}

/** The rows of a `[size, dim]` tensor, each scaled to norm 1. */
export function unitRows({ data, dims }: { data: Float32Array; dims: number[] }): Float32Array[] {
  const dim = dims.at(-1) ?? 0;
  return Array.from({ length: dims[0] ?? 0 }, (_, row) => normalised(data.slice(row * dim, (row + 1) * dim)));
}

/** The average token of a text is shorter than this, so text beyond `maxTokens` times it cannot reach the model. */
const MAX_CHARACTERS_PER_TOKEN = 32;

/** A text cut to at most `maxTokens` tokens, special tokens not counted. */
export function fitText(
  tokenizer: PreTrainedTokenizer,
  text: string,
  maxTokens: number,
): { text: string; tokens: number; truncated: boolean } {
  const maxCharacters = Math.max(0, maxTokens) * MAX_CHARACTERS_PER_TOKEN;
  const ids = tokenizer.encode(text.slice(0, maxCharacters), { add_special_tokens: false });
  if (ids.length <= maxTokens && text.length <= maxCharacters) return { text, tokens: ids.length, truncated: false };
  // Cut as text, since the library's truncation also removes the special token at the end. Where the cut splits a
  // character, the text that is left may have more tokens than were kept.
  for (let kept = maxTokens; kept > 0; ) {
    const cut = tokenizer.decode(ids.slice(0, kept), { clean_up_tokenization_spaces: false });
    const tokens = tokenizer.encode(cut, { add_special_tokens: false }).length;
    if (tokens <= maxTokens) return { text: cut, tokens, truncated: true };
    kept -= tokens - maxTokens;
  }
  return { text: '', tokens: 0, truncated: true };
}

/** Number of special tokens that the tokenizer adds to every text. */
export const specialTokenCount = (tokenizer: PreTrainedTokenizer): number => tokenizer.encode('').length;
