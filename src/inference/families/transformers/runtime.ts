/**
 * What the threads of models from a hub share. Only they import `@huggingface/transformers`: a service with the
 * bundled model never loads it.
 */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { env, LogLevel, type PreTrainedTokenizer, RawImage } from '@huggingface/transformers';
import type { Frame } from '../../../media/frame.js';
import type { Device } from '../../device.js';
import { RUNTIME_OPTIONS } from '../../worker/ort-options.js';
import type { Count } from '../../worker/worker-handle.js';
import type { Encodings } from '../../worker/worker-main.js';
import type { HubInput, HubSetup } from './family.js';

// The files are there, checked, or the service does not start: nothing is fetched behind anyone's back.
env.allowRemoteModels = false;
env.useFSCache = false;
// An error is thrown all the same; the library would print what was to be embedded beside it.
env.logLevel = LogLevel.NONE;

/** How a model or one of its towers is loaded. */
export const loadOptions = ({ dtype, threads }: HubSetup, device: Device) => ({
  dtype,
  device,
  local_files_only: true,
  session_options: {
    intraOpNumThreads: threads,
    graphOptimizationLevel: 'all' as const,
    extra: { session: RUNTIME_OPTIONS },
  },
});

/** The pixels of a frame for the processor of a model. */
export const toRawImage = ({ rgb, width, height }: Frame): RawImage =>
  new RawImage(new Uint8ClampedArray(rgb.buffer, rgb.byteOffset, rgb.byteLength), width, height, 3);

/**
 * Encodes inputs together, or one by one where the model scales the numbers of a whole batch by their largest
 * (DynamicQuantizeLinear): there, a vector would depend on what else is in its batch.
 */
export async function batchRunner(
  setup: HubSetup,
  encode: (inputs: readonly HubInput[]) => Promise<EncodedBatch>,
): Promise<(inputs: readonly HubInput[]) => Promise<Encodings>> {
  const alone = await scalesWholeBatches(setup);
  return async (inputs) => {
    const batches = alone ? inputs.map((input) => [input]) : [inputs];
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
  counts: Count[];
}

async function scalesWholeBatches({ manifest, dir, dtype }: HubSetup): Promise<boolean> {
  // No other arithmetic makes integers of what goes through the model; their graphs may be gigabytes to read.
  if (dtype !== 'q8') return false;
  const graphs = (manifest.dtypes[dtype] ?? []).filter((file) => file.endsWith('.onnx'));
  const contents = await Promise.all(graphs.map((file) => readFile(path.join(dir, file))));
  // The name of an operator stands in the file as it is.
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

/** The vector at norm 1. */
export function normalised(vector: Float32Array): Float32Array {
  const norm = Math.hypot(...vector);
  return vector.map((x) => x / norm);
}

/** The rows of a `[size, dim]` tensor, each at norm 1. */
export function unitRows({ data, dims }: { data: Float32Array; dims: number[] }): Float32Array[] {
  const dim = dims.at(-1) ?? 0;
  return Array.from({ length: dims[0] ?? 0 }, (_, row) => normalised(data.slice(row * dim, (row + 1) * dim)));
}

/** No token is longer on average than this, so that what lies beyond could not reach the model. */
const MAX_CHARACTERS_PER_TOKEN = 32;

/** A text of at most `maxTokens` tokens, those that mark its beginning and end not counted. */
export function fitText(
  tokenizer: PreTrainedTokenizer,
  text: string,
  maxTokens: number,
): { text: string; tokens: number; truncated: boolean } {
  const maxCharacters = Math.max(0, maxTokens) * MAX_CHARACTERS_PER_TOKEN;
  const ids = tokenizer.encode(text.slice(0, maxCharacters), { add_special_tokens: false });
  if (ids.length <= maxTokens && text.length <= maxCharacters) return { text, tokens: ids.length, truncated: false };
  // Cut as text: the library would cut the mark at the end off with it. The ids of a text that was cut may be more
  // than those that were kept, where the cut goes through a character.
  for (let kept = maxTokens; kept > 0; ) {
    const cut = tokenizer.decode(ids.slice(0, kept), { clean_up_tokenization_spaces: false });
    const tokens = tokenizer.encode(cut, { add_special_tokens: false }).length;
    if (tokens <= maxTokens) return { text: cut, tokens, truncated: true };
    kept -= tokens - maxTokens;
  }
  return { text: '', tokens: 0, truncated: true };
}

/** Tokens that mark the beginning and the end of every text. */
export const markCount = (tokenizer: PreTrainedTokenizer): number => tokenizer.encode('').length;
