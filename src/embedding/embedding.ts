import type { Modality } from '../common/modality.js';

export interface Embedding {
  /** Unit vector `[dim]`. */
  vector: Float32Array;
  modality: Modality;
  /** Length of the sequence that the model read: text tokens and patches. */
  tokens: number;
  /** Whether text was cut at the model's limit. */
  truncated: boolean;
}
