/**
 * The reference for models from a hub: `@huggingface/transformers` used directly, one input at a time, as in its
 * documentation.
 */
import '../../../src/lib/no-telemetry.js';
import {
  AutoConfig,
  AutoImageProcessor,
  AutoProcessor,
  AutoTokenizer,
  CLIPTextModelWithProjection,
  CLIPVisionModelWithProjection,
  EmbeddingGemma2Model,
  env,
  RawImage,
  RawVideo,
  type Tensor,
} from '@huggingface/transformers';
import { expect } from 'vitest';
import type { Frame } from '../../../src/media/frame.js';

env.allowRemoteModels = false;

type Outputs = Record<string, Tensor>;

/** The numbers of the first row, at norm 1. */
function unit(tensor: Tensor | undefined): number[] {
  if (tensor === undefined) throw new Error('The model did not give the output.');
  const row = Array.from((tensor.data as Float32Array).subarray(0, tensor.dims.at(-1)));
  const norm = Math.hypot(...row);
  return row.map((x) => x / norm);
}

/** The mean of vectors, at norm 1. */
export function unitMean(...vectors: readonly number[][]): number[] {
  const sum = (vectors[0] as number[]).map((_, i) =>
    vectors.reduce((total, vector) => total + (vector[i] as number), 0),
  );
  const norm = Math.hypot(...sum);
  return sum.map((x) => x / norm);
}

/** An image file as the library reads it. */
export const readImage = (bytes: Uint8Array): Promise<RawImage> => RawImage.fromBlob(new Blob([new Uint8Array(bytes)]));

export const rawImage = ({ rgb, width, height }: Frame): RawImage =>
  new RawImage(new Uint8ClampedArray(rgb), width, height, 3);

/** EmbeddingGemma 2 on the files of `dir`. */
export async function openGemma(dir: string) {
  const config = Object.assign(await AutoConfig.from_pretrained(dir), { audio_config: null });
  const model = await EmbeddingGemma2Model.from_pretrained(dir, { config, dtype: 'fp32' });
  const processor = await AutoProcessor.from_pretrained(dir);
  return {
    processor,
    /** @param text with a placeholder for each image and video */
    async embed(text: string, { images = [], videos = [] }: { images?: RawImage[]; videos?: RawImage[][] } = {}) {
      const rawVideos = videos.map((frames) => new RawVideo(frames, frames.length));
      const inputs = await processor(
        text,
        images.length > 0 ? [images] : null,
        null,
        rawVideos.length > 0 ? [rawVideos] : null,
      );
      return unit(((await model(inputs)) as Outputs).sentence_embedding);
    },
    dispose: () => model.dispose(),
  };
}

/** The towers of CLIP or SigLIP on the files of `dir`. */
export async function openTowers(
  dir: string,
  padding: { padding: true } | { padding: 'max_length'; max_length: number },
) {
  const tokenizer = await AutoTokenizer.from_pretrained(dir);
  const imageProcessor = await AutoImageProcessor.from_pretrained(dir);
  const textModel = await CLIPTextModelWithProjection.from_pretrained(dir, { dtype: 'fp32' });
  const visionModel = await CLIPVisionModelWithProjection.from_pretrained(dir, { dtype: 'fp32' });
  const output = (outputs: Outputs) => unit(Object.values(outputs)[0]);
  return {
    text: async (text: string) =>
      output((await textModel(tokenizer(text, { ...padding, truncation: true }))) as Outputs),
    image: async (image: RawImage) => output((await visionModel(await imageProcessor(image))) as Outputs),
    dispose: () => Promise.all([textModel.dispose(), visionModel.dispose()]),
  };
}

/** Asserts that no number differs by more than 1e-5. */
export function expectSame(vector: readonly number[], expected: readonly number[]): void {
  expect(vector).toHaveLength(expected.length);
  expect(Math.max(...vector.map((x, i) => Math.abs(x - (expected[i] as number))))).toBeLessThan(1e-5);
}
