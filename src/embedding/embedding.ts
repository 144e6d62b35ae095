import { codeOf, type Modality, modalityOfCode } from '../common/modality.js';
import type { Codec } from './disk-cache.js';

export interface Embedding {
  /** Unit vector `[dim]`. */
  vector: Float32Array;
  modality: Modality;
  /** Length of the sequence the model saw: text tokens and patches. */
  tokens: number;
  /** Whether text was cut at the model's limit. */
  truncated: boolean;
}

// Key, map entry and object around the vector, roughly.
const ENTRY_OVERHEAD_BYTES = 400;

/** Bytes of memory that remembering an embedding takes. */
export const sizeOfEmbedding = ({ vector }: Embedding): number => vector.byteLength + ENTRY_OVERHEAD_BYTES;

// format, modality, truncated, unused: a byte each; tokens: 4 bytes; then the vector.
const FORMAT = 1;
const HEADER_BYTES = 8;

/** An embedding as the bytes that the cache keeps on disk. */
export const embeddingCodec: Codec<Embedding> = {
  encode({ vector, modality, tokens, truncated }) {
    const record = Buffer.alloc(HEADER_BYTES + vector.byteLength);
    record.set([FORMAT, codeOf(modality), truncated ? 1 : 0]);
    record.writeUInt32LE(tokens, 4);
    record.set(new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength), HEADER_BYTES);
    return record;
  },

  decode(record) {
    const modality = modalityOfCode(record[1] ?? -1);
    if (record[0] !== FORMAT || modality === undefined) return undefined;
    // A copy: the record lies in LMDB's memory map, and a Float32Array must start at a multiple of four.
    const bytes = Uint8Array.prototype.slice.call(record, HEADER_BYTES);
    const vector = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
    return { vector, modality, tokens: record.readUInt32LE(4), truncated: record[2] === 1 };
  },
};
