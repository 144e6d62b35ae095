/** What the crash test writes: an item that can be told to be whole from its id and version alone. */
import { createHash } from 'node:crypto';

export const BINDING = { model: 'crash', revision: '1', dim: 8 };
export const WRITERS = 4;
export const IDS_PER_WRITER = 40;
const MODALITIES = ['text', 'image', 'video'];

export function itemOf(id, version) {
  const digest = createHash('sha256').update(`${id} ${version}`).digest();
  const numbers = Array.from({ length: BINDING.dim }, (_, i) => digest.readInt32LE(4 * i) / 2 ** 31);
  const norm = Math.hypot(...numbers);
  return {
    id,
    modality: MODALITIES[digest[0] % MODALITIES.length],
    metadata: { version, padding: 'x'.repeat(digest[1]) },
    vector: Float32Array.from(numbers, (value) => value / norm),
  };
}

/** Whether a stored item is, bit for bit, the one its id and version say. */
export function matches(item) {
  const expected = itemOf(item.id, item.metadata.version);
  return (
    item.modality === expected.modality &&
    JSON.stringify(item.metadata) === JSON.stringify(expected.metadata) &&
    Buffer.from(item.vector.buffer).equals(Buffer.from(expected.vector.buffer))
  );
}
