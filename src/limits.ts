import type { ModelManifest } from './encoder/model.js';

/** Most parts of one input: what a person would call one thing. */
export const MAX_PARTS = 16;
/** Most inputs of one request to a native route. */
export const MAX_INPUTS = 256;

/** Most tokens of one sequence: a text and a clip, each as long as the model takes them. */
export function maxSequenceTokens({ text, video, patch }: ModelManifest): number {
  return text.max_tokens + video.max_frames * (video.side / patch) ** 2;
}
