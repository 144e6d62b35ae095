import { randomBytes } from 'node:crypto';
import type { ClipManifest } from '../../src/models/manifest.js';
import { COMMIT, sha256 } from './hub-server.js';

const FILES = {
  'config.json': 500,
  'tokenizer.json': 90_000,
  'onnx/text_model.onnx': 300_000,
  'onnx/text_model_quantized.onnx': 200_000,
  'onnx/vision_model_quantized.onnx': 400_000,
  'onnx/text_model_q4.onnx': 1_000,
};
export type FileName = keyof typeof FILES;

/** The files of a model repository, of random content. */
export const repositoryFiles = (): Map<string, Buffer> =>
  new Map([
    ...Object.entries(FILES).map(([file, bytes]): [string, Buffer] => [file, randomBytes(bytes)]),
    ['README.md', Buffer.from('# a model')],
  ]);

/** A manifest for them; files of `unpinned` have no digest in it. */
export function manifestOf(
  files: ReadonlyMap<string, Buffer>,
  { unpinned = [], revision = COMMIT }: { unpinned?: readonly FileName[]; revision?: string } = {},
): ClipManifest {
  const pin = (file: string) => {
    const content = files.get(file) as Buffer;
    return unpinned.includes(file as FileName) ? {} : { bytes: content.length, sha256: sha256(content) };
  };
  return {
    name: 'tiny',
    revision: '1',
    family: 'clip',
    dim: 8,
    matryoshka: [8],
    licence: 'MIT',
    description: 'For tests.',
    source: { repository: 'acme/tiny', revision },
    files: Object.fromEntries(Object.keys(FILES).map((file) => [file, pin(file)])),
    dtypes: {
      fp32: ['onnx/text_model.onnx'],
      q8: ['onnx/text_model_quantized.onnx', 'onnx/vision_model_quantized.onnx'],
      q4: ['onnx/text_model_q4.onnx'],
    },
    prompts: { query: '{text}', document: '{text}' },
    text: { max_tokens: 77 },
    image: { max_side: 32, max_tokens: 4 },
    video: { max_side: 32, max_tokens: 4, min_frames: 1, max_frames: 4 },
    modalities: ['text', 'image'],
    temporal: false,
  };
}
